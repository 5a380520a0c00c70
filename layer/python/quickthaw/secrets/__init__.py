"""Secrets in a snapshot: what to look for, where memory lies in it, and the search."""
