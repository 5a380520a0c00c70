"""The snapshot directory's formats, read on Lambda and written on the build machine."""
