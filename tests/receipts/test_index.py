"""The index of receipts: it finds exactly the numbers that were added under a fingerprint, however they are spread."""

import errno
import os
from collections import defaultdict
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from streamer.receipts.index import FingerprintIndex, Fingerprints

MASKS = st.sampled_from([0xFFFFFFFF, 0x00FFFFFF, 0x0000FFFF, 0xFFFFFF00, 0xFF0000FF, 0x00000003])
"""Bits that differ at all: with few of them in the right places, buckets overflow."""


def drawn(seed: int, count: int, mask: int) -> Fingerprints:
    return np.random.default_rng(seed).integers(0, 2**32, count, dtype=np.uint32) & np.uint32(mask)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.tuples(st.integers(1, 700), MASKS), min_size=1, max_size=12),
    seed=st.integers(0, 2**32),
    expected=st.sampled_from([0, 500, 20_000]),
    cleared_before=st.integers(0, 12),
)
def test_it_finds_what_was_added_and_nothing_else(
    tmp_path: Path, batches: list[tuple[int, int]], seed: int, expected: int, cleared_before: int
) -> None:
    index = FingerprintIndex(tmp_path, expected=expected)
    numbers: dict[int, list[int]] = defaultdict(list)
    first = 0
    for place, (count, mask) in enumerate(batches):
        if place == cleared_before:
            index.clear()
            numbers.clear()
        fingerprints = drawn(seed + place, count, mask)
        index.add(fingerprints, first)
        for number, fingerprint in enumerate(fingerprints.tolist(), first):
            numbers[fingerprint].append(number)
        first += count

    wanted = np.r_[np.array(sorted(numbers), np.uint32), drawn(seed + 99, 200, 0xFFFFFFFF)]
    found: dict[int, list[int]] = defaultdict(list)
    for place, number in index.candidates(wanted):
        found[int(wanted[place])].append(number)
    assert {fingerprint: sorted(candidates) for fingerprint, candidates in found.items()} == {
        fingerprint: numbers[fingerprint] for fingerprint in set(wanted.tolist()) if fingerprint in numbers
    }
    index.close()


def test_its_size_follows_its_contents(tmp_path: Path) -> None:
    """Between 21 and 25 bytes each, once there are many: a bucket of 128 bytes for six, and room to grow."""
    index = FingerprintIndex(tmp_path)
    for batch in range(500):
        index.add(drawn(batch, 480, 0xFFFFFFFF), batch * 480)
    assert 21 <= index.bytes / (500 * 480) <= 25
    index.close()


def test_a_disk_without_room_is_an_error_and_not_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written to without a reservation, a mapped file on a full disk would end the process."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    index = FingerprintIndex(tmp_path)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="no space left"):
        index.add(drawn(1, 10_000, 0xFFFFFFFF), 0)
    index.close()
