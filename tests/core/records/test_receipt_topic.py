"""The settings of the topic of receipts: enough for what counts, and said where it is not."""

import pytest

from streamer.core.records.receipt_topic import remarks_on, values_for

DAY = 86_400.0


def test_a_topic_that_streamer_creates_has_nothing_to_remark() -> None:
    for window in (1.0, 3_600.0, DAY, 31 * DAY):
        values = values_for(window)
        retention = int(values["retention.ms"])
        remarks = remarks_on("r", window, is_compacted=False, retention_ms=retention, max_message_bytes=1_048_588)
        assert list(remarks) == []
        assert values["cleanup.policy"] == "delete"
        assert int(values["segment.ms"]) <= retention, "brokers delete whole segments"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"retention_ms": 3_600_000}, "set retention.ms of r to 86400000"),
        ({"is_compacted": True}, "set cleanup.policy of r to delete"),
        ({"max_message_bytes": 100_000}, "set max.message.bytes of r to 500000 or more"),
    ],
)
def test_what_would_lose_receipts_is_said_with_what_to_do(setting: dict[str, int], said: str) -> None:
    fine = {"is_compacted": False, "retention_ms": -1, "max_message_bytes": None}
    [remark] = remarks_on("r", DAY, **fine | setting)  # type: ignore[arg-type]
    assert said in remark


def test_what_is_not_known_is_not_remarked_on() -> None:
    assert not list(remarks_on("r", DAY, is_compacted=False, retention_ms=None, max_message_bytes=None))
