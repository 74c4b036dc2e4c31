"""``streamer`` with short waits for others that hold the database: a test cannot wait for a minute. A program."""

import dataclasses
import functools
import sys

from streamer import service
from streamer.__main__ import main
from streamer.timings import PRODUCTION

TIMINGS = dataclasses.replace(
    PRODUCTION,
    directory_statement=2.0,
    directory_idle=1.0,
    directory_lock=1.0,
    directory_relay=1.0,
    directory_retry=0.5,
    relay_retry=0.5,
)

if __name__ == "__main__":
    service.Service = functools.partial(service.Service, timings=TIMINGS)  # type: ignore[misc, assignment]
    sys.exit(main())
