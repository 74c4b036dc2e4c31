"""A Segment-compatible receiver for trying and testing.

`answers` knows what Segment answers and `discards` what it quietly drops, `faults` scripts failures, `record` keeps
what came of every call; none of them does I/O. `server` puts them behind HTTP, `admin` shows and steers them under
``/_sandbox/``, `record_file` writes the record down.
"""
