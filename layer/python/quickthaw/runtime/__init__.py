"""What runs on Lambda: the bootstrap that thaws, and the freeze and wake code inside the function.

Imports the standard library, liblz4 and this package; nothing else is there.
"""
