"""A Segment-compatible receiver for trying and testing.

`answers` decides what Segment answers, `discards` which calls it drops without an error, `explained` why. `faults` and
`fault_script` play scripted faults. `record` keeps what became of every call, `sources` which records calls were made
from. None of them does I/O. `server` serves them over HTTP, `admin` shows and changes them under ``/_sandbox/``,
`debugger` does so for people, `access` says who may, `record_file` writes the record to a file.
"""
