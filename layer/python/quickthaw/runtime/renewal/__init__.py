"""What a snapshot must not share with its thaws, one module for each thing.

A module here notes at the freeze, where walking the heap costs nothing, what
the wake will have to touch, and touches it at the wake, where every
microsecond is the user's.  Some also watch while the function is imported
(`generators`, `environment`, `rings`, by `watch`) or stand in for the runtime
(`logs`).  `wake` fixes the order.
"""
