"""A Segment-compatible receiver for trying and testing.

`answers` decides what Segment answers, `discards` which calls it drops without an error, `faults` plays scripted
faults, `record` keeps what became of every call; none of them does I/O. `server` serves them over HTTP, `admin` shows
and changes them under ``/_sandbox/``, `record_file` writes the record to a file.
"""
