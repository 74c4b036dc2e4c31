"""Commands that ask Kafka once say themselves what matters."""

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_client() -> Iterator[None]:
    """Keep the Kafka client from logging each failed attempt while the context lasts."""
    log = logging.getLogger("aiokafka")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
