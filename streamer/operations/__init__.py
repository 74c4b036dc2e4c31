"""What an operator does beside the running service: checks of the set-up, redriving dead letters."""
