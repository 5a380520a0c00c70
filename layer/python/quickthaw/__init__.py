"""quickthaw: start a Python Lambda function from a CRIU snapshot instead of importing it again."""

__version__ = "0.1.0"
