"""What one record can cost: it may be 2 MB of anything, and the event loop waits until it is mapped.

Measured on the machine this was written on: at most 45 ms each, half of that for most.
"""

import gc
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from streamer.core.errors import MappingError, RecordError, TooLargeError
from streamer.core.mapping import Mapper
from streamer.core.mapping.call import Call
from streamer.core.mapping.decode import MAX_NESTED_LISTS, MAX_VALUES, decode
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.mapping.encode import encode_call
from streamer.core.model import MappingSettings

SAMPLES = Path(__file__).parents[2] / "samples"
RECORD_BYTES: Final = 2_000_000
MAX_SECONDS: Final = 0.15
"""CPU time, three times what is aimed at: other machines are slower and busy."""


def repeated(item: bytes) -> bytes:
    """A list of so many equal items."""
    return b"[" + b",".join([item] * (RECORD_BYTES // (len(item) + 1))) + b"]"


def numbered(form: str, count: int) -> bytes:
    """A JSON text made of ``count`` different ones."""
    inner = ",".join(form % number for number in range(count))
    return (f"{{{inner}}}" if ":" in form else f"[{inner}]").encode()


PARTS: Final = {
    "lists 240 deep": repeated(b"[" * 240 + b"]" * 240),
    "objects 240 deep": repeated(b'{"a":' * 240 + b"1" + b"}" * 240),
    "a million small elements": repeated(b"1"),
    "empty lists": repeated(b"[]"),
    "empty objects": repeated(b"{}"),
    "as many lists as may be": b"[" + b"[]," * (MAX_VALUES // 2 - 100) + b'"' + b"x" * 1_850_000 + b'"]',
    "as many objects as may be": b"[" + b'{"":0},' * (MAX_VALUES // 2 - 100) + b'"' + b"x" * 1_750_000 + b'"]',
    "100,000 keys": numbered('"key%d": "v"', 100_000),
    "as many keys as may be": numbered('"a key to make it long %09d": "v"', MAX_VALUES - 100),
    "300,000 tiny texts": numbered('"%05x"', 250_000),
    "as many texts as may be cut": numbered('"%0120d"', 15_900),
    "one text": b'"' + b"x" * RECORD_BYTES + b'"',
    "quotes": b'"' + b'\\"' * (RECORD_BYTES // 2) + b'"',
    "control characters": b'"' + b"\\u0001" * (RECORD_BYTES // 6) + b'"',
    "long floats": repeated(b"0.1234567890123456789e-30"),
}
PLACES: Final = {
    "getuserfeedback/03-response-submitted": (
        ("properties", "traits", "note"),
        ("properties", "references"),
        ("answers",),
        ("unknown",),
    ),
    "sprig/05-open-text-unicode": (("response",), ("attributes", "note"), ("attributes",)),
    "sprig/21-unknown-question-type": (("response",),),
    "product_fruits/01-announcement-popup-opened": (("data",), ("data", "note"), ("user",)),
    "product_fruits/07-survey-nps-and-text": (("data", "answers"),),
    "canonical/product_fruits-07-survey": (("answers",), ("extra", "note")),
}
ANSWERS: Final = [
    (
        "product_fruits/07-survey-nps-and-text",
        ("data", "answers"),
        b'{"questionId":"a","questionType":"nps","answer":1}',
    ),
    ("product_fruits/07-survey-nps-and-text", ("data", "answers"), b'{"questionId":1,"other":"a","answer":["a"]}'),
    ("canonical/product_fruits-07-survey", ("answers",), b'{"type":"nps","value":1}'),
    ("getuserfeedback/03-response-submitted", ("properties", "identities"), b'{"type":"a","value":"b"}'),
]


def record_with(sample: str, path: tuple[str, ...], part: bytes) -> bytes:
    """A sample with ``part``, a JSON text, at ``path``."""
    document: dict[str, Any] = orjson.loads((SAMPLES / f"{sample}.json").read_bytes())
    container = document
    for key in path[:-1]:
        container = container.setdefault(key, {})
    container[path[-1]] = "@part@"
    return orjson.dumps(document).replace(b'"@part@"', part)


@pytest.fixture(scope="module")
def mappers() -> dict[str, Mapper]:
    return {dialect: Mapper(MappingSettings(dialect=dialect)) for dialect in DIALECTS}


@pytest.fixture(autouse=True)
def service_collector() -> Iterator[None]:
    """The collector as the service sets it; what other tests left is not looked through."""
    threshold = gc.get_threshold()
    gc.set_threshold(50_000)
    gc.freeze()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


def cost_seconds(mapper: Mapper, record: bytes) -> float:
    """CPU time of mapping a record, the lesser of two: the first of all makes room that later ones use."""
    costs = []
    for _ in range(2):
        began = time.thread_time()
        try:
            mapper.map(record, 0)
        except RecordError as error:
            del error
        costs.append(time.thread_time() - began)
    return min(costs)


@pytest.mark.parametrize("part", PARTS)
def test_no_record_of_two_megabytes_costs_long(mappers: dict[str, Mapper], part: str) -> None:
    for sample, paths in PLACES.items():
        for path in paths:
            record = record_with(sample, path, PARTS[part])
            assert cost_seconds(mappers[sample.split("/", maxsplit=1)[0]], record) < MAX_SECONDS, (
                sample,
                path,
            )


@pytest.mark.parametrize(("sample", "path", "item"), ANSWERS)
@pytest.mark.parametrize("count", [MAX_VALUES, RECORD_BYTES])
def test_no_number_of_parts_that_are_checked_one_by_one_costs_long(
    mappers: dict[str, Mapper], sample: str, path: tuple[str, ...], item: bytes, count: int
) -> None:
    values = item.count(b",") + item.count(b"]") + item.count(b"}") + 1
    items = min((count - 200) // values, RECORD_BYTES // len(item))
    record = record_with(sample, path, b"[" + b",".join([item] * items) + b"]")
    assert cost_seconds(mappers[sample.split("/", maxsplit=1)[0]], record) < MAX_SECONDS


def test_a_call_that_can_never_fit_is_not_searched_for_texts() -> None:
    call: Call = {"type": "track", "event": "e", "properties": {"numbers": [0] * 1_000_000}}
    began = time.thread_time()
    with pytest.raises(TooLargeError):
        encode_call(call)
    assert time.thread_time() - began < MAX_SECONDS


def test_a_record_may_hold_as_many_values_as_the_limit_says() -> None:
    values = b"[" + b"1," * (MAX_VALUES - 2) + b"1]"
    assert len(decode(values)) == MAX_VALUES - 1
    with pytest.raises(TooLargeError, match="too many values"):
        decode(b"[[]," + values[1:])


@pytest.mark.parametrize(
    ("opening", "closing"),
    [(b"[", b"]"), (b'{"a":[', b"]}"), (b"[1,", b"\n,2]"), (b"[{},", b"]")],
)
def test_lists_nest_no_deeper_than_can_be_written_safely(opening: bytes, closing: bytes) -> None:
    """Where it closes over 200 lists at once, orjson writes past the end of its buffer."""
    whole = b'{"text": "]]]", "a": ' + opening * MAX_NESTED_LISTS + b"0" + closing * MAX_NESTED_LISTS + b"}"
    assert decode(whole)["text"] == "]]]"
    with pytest.raises(MappingError, match="nested too deeply: expected at most 64 lists inside one another"):
        decode(whole.replace(b"0", opening + b"0" + closing, 1))


def test_many_lists_beside_one_another_and_brackets_in_texts_are_fine() -> None:
    assert len(decode(b"[" + b"[[]]," * 1_000 + b"1]")) == 1_001
    assert decode(b'"' + b"]" * 1_000 + b'"') == "]" * 1_000
