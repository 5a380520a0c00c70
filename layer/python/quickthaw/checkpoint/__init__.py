"""The build machine's side of a snapshot: drive the freeze, refuse, dump, pack, describe, look at, verify."""
