"""Bring a snapshot to where Lambda starts functions: a layer version, objects in S3, an image's directory."""
