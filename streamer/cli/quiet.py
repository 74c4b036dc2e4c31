"""Commands that ask Kafka once print their own errors, so the Kafka client stays quiet."""

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_client() -> Iterator[None]:
    """While the context lasts, the Kafka client does not log its failed attempts."""
    log = logging.getLogger("aiokafka")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
