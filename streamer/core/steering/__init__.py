"""What operators order while the service runs: how orders are written, and what they mean at a time."""
