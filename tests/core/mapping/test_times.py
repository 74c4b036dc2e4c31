"""Times go out in UTC with exactly three digits and ``Z``, whatever form a producer writes them in."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.errors import MappingError
from streamer.core.mapping import Mapper
from streamer.core.mapping.contract import Contract
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.mapping.event import SurveyEvent
from streamer.core.mapping.times import exact
from streamer.core.model import MappingSettings, TrackCall

SAMPLES: Path = Path(__file__).parents[2] / "samples"
TIMED = {
    "sprig": ("sprig/01-nps", "timestamp"),
    "product_fruits": ("product_fruits/01-announcement-popup-opened", "timestamp"),
    "getuserfeedback": ("getuserfeedback/01-flow-viewed", "timestamp"),
    "canonical": ("canonical/sprig-01-nps", "occurred_at"),
}
"""A record of each dialect, and the key of its time."""


def mapped(dialect: str, **changes: Any) -> dict[str, Any]:
    """The call of a dialect's record with some keys replaced."""
    document = {**json.loads((SAMPLES / f"{TIMED[dialect][0]}.json").read_text()), **changes}
    call = Mapper(MappingSettings(dialect=dialect)).map(orjson.dumps(document), 0)
    assert isinstance(call, TrackCall)
    body: dict[str, Any] = json.loads(call.body)
    return body


def test_each_dialect_is_tried() -> None:
    assert TIMED.keys() == DIALECTS.keys()


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("2026-05-13T10:13:20.291Z", "2026-05-13T10:13:20.291Z"),
        ("2026-05-13T10:13:20Z", "2026-05-13T10:13:20.000Z"),
        ("2026-05-13T10:13:20.2Z", "2026-05-13T10:13:20.200Z"),
        ("2026-05-13T10:13:20.999999Z", "2026-05-13T10:13:20.999Z"),
        ("2026-05-13T12:13:20.1234567+02:00", "2026-05-13T10:13:20.123Z"),
        ("2026-05-13T10:13:20.291-00:00", "2026-05-13T10:13:20.291Z"),
        ("2025-12-31T23:30:00.000-00:45", "2026-01-01T00:15:00.000Z"),
        ("2026-05-13t10:13:20.291z", "2026-05-13T10:13:20.291Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999Z"),
        ("2016-12-31T23:59:60.000Z", "2016-12-31T23:59:59.999Z"),
        ("2017-01-01T00:59:60.5+01:00", "2016-12-31T23:59:59.999Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
    ],
)
@pytest.mark.parametrize("dialect", TIMED)
def test_times_go_out_in_utc_with_three_digits(dialect: str, given: str, sent: str) -> None:
    """A leap second, which most readers do not know, becomes the last millisecond of the second before."""
    assert mapped(dialect, **{TIMED[dialect][1]: given})["timestamp"] == sent


@pytest.mark.parametrize(
    "given",
    ["0000-01-01T00:00:00.000Z", "0000-12-31T23:59:59Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"],
)
@pytest.mark.parametrize("dialect", TIMED)
def test_a_time_that_exists_nowhere_is_refused_and_not_quoted(dialect: str, given: str) -> None:
    with pytest.raises(MappingError, match=r"^a time of the event: expected one from the year 1") as refused:
        mapped(dialect, **{TIMED[dialect][1]: given})
    assert given not in refused.value.detail
    assert refused.value.__suppress_context__


def test_the_id_stays_that_of_the_time_as_written() -> None:
    """Ids derive from native text: the same event, read again by this version, must not become another one."""
    written, exactly = (
        mapped("product_fruits", timestamp=time) for time in ("2026-03-02T10:00:00Z", "2026-03-02T10:00:00.000Z")
    )
    assert written["timestamp"] == exactly["timestamp"]
    assert written["messageId"] != exactly["messageId"]


def test_the_time_of_an_answer_goes_out_in_the_same_form() -> None:
    assert mapped("sprig", createdAt="2026-03-02T10:15:27.3+01:00")["properties"]["createdAt"] == (
        "2026-03-02T09:15:27.300Z"
    )


def test_the_canonical_event_has_its_time_in_utc() -> None:
    mapper = Mapper(MappingSettings(dialect="getuserfeedback"))
    document = json.loads((SAMPLES / "getuserfeedback/01-flow-viewed.json").read_text())
    event = mapper.read(orjson.dumps({**document, "timestamp": "2026-05-13T12:13:20+02:00"}), 0)
    assert isinstance(event, SurveyEvent)
    assert mapper.to_document(event)["occurred_at"] == "2026-05-13T10:13:20.000Z"


@given(
    st.datetimes(dt.datetime(2, 1, 1), dt.datetime(9998, 12, 31)),  # noqa: DTZ001 - the zone is drawn beside it
    st.text("0123456789", max_size=9),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_any_time_is_the_same_instant_to_the_millisecond(moment: dt.datetime, digits: str, minutes: int) -> None:
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    seconds = moment.replace(microsecond=0, tzinfo=dt.timezone(dt.timedelta(minutes=minutes)))
    zone = f"{sign}{hours:02}:{rest:02}"
    written = f"{moment.isoformat(timespec='seconds')}{f'.{digits}' if digits else ''}{zone}"
    sent = exact(written)
    assert exact(sent) == sent
    assert len(sent) == len("2026-05-13T10:13:20.291Z")
    assert sent.endswith("Z")
    milliseconds = int(digits[:3].ljust(3, "0"))
    assert dt.datetime.fromisoformat(sent) == seconds + dt.timedelta(milliseconds=milliseconds)
    assert Contract("getuserfeedback_event").is_kept_by(
        {**json.loads((SAMPLES / "getuserfeedback/01-flow-viewed.json").read_text()), "timestamp": written}
    )


@pytest.mark.parametrize("text", ["", "now", "2026-05-13", "2026-05-13T10:13:20", "2026-05-13 10:13:20Z"])
def test_what_is_no_time_is_an_error_of_the_record(text: str) -> None:
    """Contracts refuse it before; a dialect whose schema forgets to must not send it."""
    with pytest.raises(MappingError, match="expected an RFC 3339 time"):
        exact(text)
