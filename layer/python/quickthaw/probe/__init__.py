"""What the place that this runs in allows, asked by trying it.

One copy for everybody: `quickthaw doctor` runs ``python -m quickthaw.probe``
outside and inside the sandbox, the function in handler/probe runs it on
Lambda, from the layer.  Standard library only, and of this package only what
the layer holds.
"""
