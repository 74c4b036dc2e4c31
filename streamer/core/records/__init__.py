"""From read to outcome: which records are open, what may be committed, who waits for whom."""
