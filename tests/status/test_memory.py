"""How much memory the process has and may have, read from the kernel's files."""

import sys
from pathlib import Path

import pytest

from streamer.status.memory import memory_bytes, memory_limit_bytes

MIB = 1024 * 1024


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The files of a process of a systemd unit, whose slice has a limit too."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/status").write_text("Name:\tstreamer\nVmRSS:\t  900000 kB\nRssAnon:\t  204800 kB\n")
    (tmp_path / "proc/self/cgroup").write_text("0::/system.slice/streamer@a.service\n")
    unit = tmp_path / "sys/fs/cgroup/system.slice/streamer@a.service"
    unit.mkdir(parents=True)
    (unit / "memory.max").write_text(f"{512 * MIB}\n")
    (unit.parent / "memory.max").write_text("max\n")
    return tmp_path


def test_mapped_files_do_not_count(root: Path) -> None:
    assert memory_bytes(root) == 200 * MIB


def test_the_lowest_limit_of_all_groups_counts(root: Path) -> None:
    assert memory_limit_bytes(root) == 512 * MIB
    (root / "sys/fs/cgroup/system.slice/memory.max").write_text(f"{256 * MIB}\n")
    assert memory_limit_bytes(root) == 256 * MIB


def test_a_container_sees_its_own_group_at_the_top(root: Path) -> None:
    (root / "proc/self/cgroup").write_text("0::/\n")
    (root / "sys/fs/cgroup/memory.max").write_text(f"{400 * MIB}\n")
    assert memory_limit_bytes(root) == 400 * MIB


@pytest.mark.parametrize("groups", ["0::/elsewhere\n", "4:memory:/docker/1\n", ""])
def test_no_limit_is_known_without_a_group_of_version_2(root: Path, groups: str) -> None:
    (root / "proc/self/cgroup").write_text(groups)
    assert memory_limit_bytes(root) is None


def test_nothing_is_known_where_the_kernel_has_no_such_files(tmp_path: Path) -> None:
    assert (memory_bytes(tmp_path), memory_limit_bytes(tmp_path)) == (None, None)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_this_process_has_memory() -> None:
    assert (memory_bytes() or 0) > MIB
