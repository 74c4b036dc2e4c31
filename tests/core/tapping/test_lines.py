"""What stands in a line can be asked for."""

import orjson

from streamer.core.tapping import TapRequest
from streamer.core.tapping.conditions import CALL_FIELDS
from streamer.core.tapping.lines import BATCH_FIELDS, RECORD_FIELDS
from tests.core.tapping.calls import batch, call, new_tap


def test_every_field_that_conditions_know_is_in_each_line() -> None:
    tap = new_tap(TapRequest())
    tap.offer(batch(call()), 0.0)
    assert set(orjson.loads(tap.take())) >= BATCH_FIELDS.keys() | RECORD_FIELDS.keys() | CALL_FIELDS
