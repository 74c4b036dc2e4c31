"""What an operator asks and does beside the running service."""
