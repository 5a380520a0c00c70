"""A Lambda-like place to run a function in: its layout, its user, its refusals."""
