"""Records of any shape: survey events, what is left of them on a bad day, and what never was one. Drawn at random."""

import copy
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from streamer.core.dead_letters.dead_letter import REDRIVES
from streamer.core.mapping.dialects import DIALECTS
from tests.service.harness import ProducedRecord, RawName

SAMPLES: Final = Path(__file__).parents[1] / "samples"
VALID: Final = {
    dialect: [
        orjson.loads(path.read_bytes())
        for path in sorted((SAMPLES / dialect).glob("*.json"))
        if path.name.count(".") == 1
    ]
    for dialect in DIALECTS
}
"""The sample events of each dialect, decoded."""
ALL: Final = [path.read_bytes() for dialect in DIALECTS for path in sorted((SAMPLES / dialect).rglob("*.json"))]
"""All samples, with those that are refused, and the calls that they become."""

MAX_LARGE_BYTES: Final = 1_000_000
MAX_DIGITS: Final = 6_000
"""Python refuses to convert a number with more than 4,300 digits."""

NOW_MS: Final = 1_780_000_000_000
TIMES_MS: Final = (NOW_MS, NOW_MS, NOW_MS, -1, 0, 1, 253_402_300_799_999, 253_402_300_800_000, 2**53, 2**62)
"""Now, none, 1970, the last millisecond of the last year that Python knows, the one after it, and far beyond."""

IDENTITIES: Final = frozenset(
    {"messageId", "event_id", "responseGroupUid", "visitorId", "username", "authorUsername", "anonymousId"}
)
"""Keys whose values make an event another one."""

STRANGE_TEXTS: Final = (
    *("", " ", "\x00", "a\x00b", "\u200b", "\ufeff", "\x7f\x1b[2J", "\U0001f600" * 40, "x" * 40_000, "é" * 20_000),
    *("2026-02-30T00:00:00Z", "2026-06-30T23:59:60Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+14:00"),
    *("2026-03-02T09:15:27.418999999Z", "2026-03-02", "NaN", "null", "{}", '{"schema":{},"payload":{}}'),
    *("ANSWER-SUBMITTED", "analytics", "webhook:newfeedback", "Response Submitted", "survey.dismissed"),
)
STRANGE_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 11, 1.5, 2.0**70, 2**64 - 1, -(2**63), [], {}, [[]], [{}], [None]),
)
STRANGE_JSON: Final = (
    *(b"null", b"[]", b"{}", b"0", b'""', b"[" * 5_000, b"[" * 5_000 + b"]" * 5_000, b'{"a":' * 2_000 + b"1"),
    *(b"NaN", b"1" * 5_000, b'{"a":1e999}', b'{"a":-1e-999}', b'{"messageId":"\\ud800"}', b'{"userId":"a\\u0000"}'),
    *(b'{"event":"a","event":"b","event":[]}', b"\xef\xbb\xbf{}", b"\x00\x00\x00\x00\x01{}", b"\xff\xfe{\x00}\x00"),
    *(b'{"schema":{"type":"string"},"payload":"{}"}', b'"{\\"event\\":1}"', b" " * 9_000, b'{"a":"\xed\xa0\x80"}'),
    *(b"{'event': 'a'}", b'{"a":1}{"a":2}', b'{"a":1}\n', b"[1,]", b"\xc3\x28", b"obj1\x01avro.schema", b"true" * 999),
)
OUR_NAMES: Final = (
    *(REDRIVES, "streamer.message_id", "streamer.reason", "streamer.integration", "streamer.value.omitted"),
    *("streamer.value.null", "streamer.key.null", "streamer.original_timestamp", "streamer.", "STREAMER.redrives"),
    *("__connect.errors.topic", "__connect.errors.partition", "__connect.errors.offset", "__connect.errors."),
)
STRANGE_NAMES: Final = (
    *(
        "",
        " ",
        "\x00",
        "é",
        "\u202e",
        "\U0001f600",
        "traceparent",
        "ce_id",
        "content-type",
        "__value_schema_id",
        "n" * 999,
    ),
    *(RawName(b"caf\xe9"), RawName(b"\xff\x00"), RawName(b"streamer.\xff"), RawName(b"\xc3")),
    *(f"{'deep.' * 200}name", "a=b;c", "line\nbreak", "kafka_dlt-original-topic"),
)

Header = tuple[str, bytes | None]


class StrangeRecords:
    """Draws records for the topics of one integration."""

    def __init__(self, chance: random.Random, *, dialect: str, integration: str) -> None:
        """Draw with ``chance`` alone; ``integration``: a name that redriven records may carry."""
        self._chance = chance
        self._dialect = dialect
        self._integration = integration
        self._drawn = 0
        self._earlier: list[bytes | None] = [None]
        self._values: dict[Callable[[], bytes | None], float] = {
            self._event: 0.50,
            self._event_with_strange_parts: 0.20,
            self._damaged_event: 0.10,
            lambda: chance.choice(self._earlier): 0.08,
            lambda: chance.choice(ALL): 0.03,
            lambda: chance.choice(STRANGE_JSON): 0.05,
            lambda: chance.randbytes(chance.randrange(200)): 0.02,
            lambda: chance.choice((None, b"")): 0.02,
            self._large: 0.002,
        }

    def take(self, count: int) -> list[ProducedRecord]:
        """So many records, about half of them events as they should be."""
        makers = self._chance.choices(list(self._values), list(self._values.values()), k=count)
        records = [ProducedRecord(self._key(), make(), self._time(), self._headers()) for make in makers]
        self._earlier = [*self._earlier, *(record.value for record in records)][-500:]
        return records

    def _event(self) -> bytes:
        return orjson.dumps(self._document())

    def _event_with_strange_parts(self) -> bytes:
        document = self._document()
        for _ in range(self._chance.randint(1, 4)):
            if places := places_in(document):
                self._change(*self._chance.choice(places))
        return orjson.dumps(document)

    def _damaged_event(self) -> bytes:
        """An event with some bytes cut, changed, left out or added."""
        value = bytearray(self._event())
        for _ in range(self._chance.randint(1, 3)):
            at = self._chance.randrange(len(value) + 1)
            match self._chance.randrange(4):
                case 0:
                    del value[at:]
                case 1:
                    del value[at : at + self._chance.randint(1, 9)]
                case 2:
                    value[at : at + 1] = self._chance.randbytes(1)
                case _:
                    value[at:at] = self._chance.choice((b"\x00", b'"', b"{", b"]", b"\\", b"\xff", b"\\ud83d", b"1e9"))
        return bytes(value)

    def _large(self) -> bytes:
        document = self._document()
        container, key = self._chance.choice(places_in(document))
        size = self._chance.randrange(MAX_LARGE_BYTES)
        container[key] = self._chance.choice(("x" * size, "\x01" * (size // 6), [0] * (size // 2), {"a": ["é" * size]}))
        return orjson.dumps(document)

    def _document(self) -> Any:
        """A sample that no other record has been, as far as its dialect lets us say so."""
        document = copy.deepcopy(self._chance.choice(VALID[self._dialect]))
        self._drawn += 1
        for container, key in places_in(document):
            if key in IDENTITIES and container[key]:
                container[key] = f"{self._dialect}_{self._drawn}"
        return document

    def _change(self, container: Any, key: Any) -> None:
        match self._chance.randrange(5):
            case 0:
                del container[key]
            case 1:
                container[key] = self._chance.choice(STRANGE_TEXTS)
            case 2:
                container[key] = orjson.loads(orjson.dumps(self._chance.choice(STRANGE_VALUES)))
            case 3:
                container[key] = [container[key], {self._chance.choice(STRANGE_TEXTS)[:50]: container[key]}]
            case _:
                container[key] = str(container[key])[: self._chance.randrange(80)]

    def _key(self) -> bytes | None:
        return self._chance.choice((None, b"", b"visitor", self._chance.randbytes(16), b"k" * 5_000))

    def _time(self) -> int:
        return self._chance.choice(TIMES_MS)

    def _headers(self) -> list[Header]:
        count = self._chance.choices((0, 1, 4, 200), (60, 25, 14, 1))[0]
        return [self._header() for _ in range(count)]

    def _header(self) -> Header:
        name = self._chance.choice(self._chance.choice((OUR_NAMES, STRANGE_NAMES)))
        values: Sequence[bytes | None] = (
            *(None, b"", b"1", b"-1", b"1.5", b"9" * self._chance.randrange(1, MAX_DIGITS), "٣".encode(), b"1_000"),
            *(b"\xff\xfe\x00", b"evt_1", b"x" * 2_000, self._integration.encode(), b"another", b" 2\n"),
        )
        return name, self._chance.choice(values)


def places_in(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key or index) inside a decoded JSON value."""
    if not isinstance(value, dict | list):
        return []
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    return [(value, key) for key in keys] + [place for key in keys for place in places_in(value[key])]
