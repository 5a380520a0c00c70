"""What this machine, and the Lambda-like sandbox on it, allow a thaw to do."""
