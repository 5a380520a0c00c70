"""Bring a snapshot to where Lambda starts functions: a layer version, an S3 object, an image's directory."""
