"""What a call holds in memory while it waits to be delivered."""

import tracemalloc

from streamer.core.mapping.call import Call
from streamer.core.mapping.encode import encode_call


def test_a_waiting_call_takes_no_more_than_its_length() -> None:
    """The serializer's own result keeps the buffer it was written into, several times as large."""
    call: Call = {"type": "track", "event": "e", "properties": {"text": "x" * 1_000}}
    tracemalloc.start()
    try:
        calls = [encode_call(call) for _ in range(1_000)]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1.2 * sum(map(len, calls))
