"""What of the topics is compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.operations.comparing import newest

BOUNDS = st.dictionaries(
    st.tuples(st.sampled_from("ab"), st.integers(0, 3)),
    st.tuples(st.integers(0, 100), st.integers(0, 1_000)).map(lambda pair: (pair[0], sum(pair))),
)


@given(BOUNDS, st.integers(1, 1_000))
def test_of_each_partition_its_newest_records_are_kept(
    bounds: dict[tuple[str, int], tuple[int, int]], most: int
) -> None:
    """Not the first partitions alone: they may have records of few producers."""
    kept = newest(bounds, most)
    total = sum(end - first for first, end in bounds.values())
    assert sum(end - first for first, end in kept.values()) <= max(most, 0)
    for place, (first, end) in bounds.items():
        assert first <= kept[place][0] <= kept[place][1] == end
        assert kept[place][1] - kept[place][0] == pytest.approx((end - first) * min(1.0, most / max(total, 1)), abs=1)
