"""The control topic, folded: the newest order of each integration counts."""

from hypothesis import given
from hypothesis import strategies as st

from streamer.core.steering.order import Order, Unreadable, encode
from streamer.core.steering.orders import MAX_ORDERS, Orders

NAMES = st.sampled_from([b"sprig", b"feedback", "früh".encode()])
RECORDS = st.lists(st.tuples(NAMES, st.none() | st.integers(0, 1_000) | st.just(b"junk")))


@given(RECORDS)
def test_the_newest_order_counts_and_junk_changes_nothing(records: list[tuple[bytes, int | bytes | None]]) -> None:
    orders, expected = Orders(), dict[str, Order]()
    for key, told in records:
        match told:
            case bytes():
                assert orders.take(key, told) is Unreadable.DAMAGED
            case None:
                assert orders.take(key, None) is None
                expected.pop(key.decode(), None)
            case at:
                expected[key.decode()] = Order(is_paused=bool(at % 2), at=float(at))
                assert orders.take(key, encode(expected[key.decode()])) is None
    for name in ("sprig", "feedback", "früh", "absent"):
        assert orders.of(name) == expected.get(name)


def test_compaction_changes_nothing() -> None:
    """Kafka keeps the last record of each key: an instance that starts later must come to the same orders."""
    whole, compacted = Orders(), Orders()
    last = {}
    for number in range(20):
        record = (f"name{number % 3}".encode(), encode(Order(is_paused=number % 2 == 0, at=float(number))))
        whole.take(*record)
        last[record[0]] = record[1]
    for record in last.items():
        compacted.take(*record)
    assert [whole.of(f"name{n}") for n in range(3)] == [compacted.of(f"name{n}") for n in range(3)]


def test_records_without_a_name_are_no_orders() -> None:
    orders = Orders()
    value = encode(Order(is_paused=True, at=1.0))
    assert [orders.take(key, value) for key in (None, b"", b"\xff")] == [Unreadable.DAMAGED] * 3


def test_a_topic_with_any_number_of_names_costs_bounded_memory_and_ends_no_pause() -> None:
    orders = Orders()
    orders.take(b"sprig", encode(Order(is_paused=True, at=1.0)))
    for number in range(3 * MAX_ORDERS):
        orders.take(f"other{number}".encode(), encode(Order(at=2.0)))
    assert len(orders._by_name) == MAX_ORDERS
    assert orders.of("sprig") == Order(is_paused=True, at=1.0)
