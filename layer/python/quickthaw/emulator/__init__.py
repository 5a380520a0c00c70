"""A local Lambda: Runtime API, execution environments, and the lines that Lambda logs."""
