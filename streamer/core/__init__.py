"""Everything streamer decides: functions and small classes without await, I/O, clock or randomness."""
