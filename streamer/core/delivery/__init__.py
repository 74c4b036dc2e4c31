"""How calls go out: batches, retries, and what one destination allows."""
