"""Which commit runs is known in a wheel, in an image and in a checkout; elsewhere nothing is claimed."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer import commit as module
from streamer.commit import commit

HASH = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """As in a new process, installed into `tmp_path`."""
    monkeypatch.delenv("STREAMER_COMMIT", raising=False)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "streamer" / "commit.py"))
    commit.cache_clear()
    yield
    commit.cache_clear()


def test_an_image_has_it_in_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMER_COMMIT", HASH)
    assert commit() == HASH[:12]


def test_a_wheel_has_it_in_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMMIT", HASH)
    assert commit() == HASH[:12]
    commit.cache_clear()
    monkeypatch.setenv("STREAMER_COMMIT", "unknown")
    assert commit() == HASH[:12], "an image built without the argument knows no better"


def test_a_checkout_asks_git_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        identity = ["-c", "user.name=tests", "-c", "user.email=tests@localhost", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)
    told = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert commit() == told[:12]
    monkeypatch.setattr(subprocess, "run", None)
    assert commit() == told[:12]


def test_what_is_not_known_is_not_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commit() == "unknown"
    commit.cache_clear()
    (tmp_path / ".git").mkdir()
    assert commit() == "unknown", "no repository"
    commit.cache_clear()
    monkeypatch.setenv("PATH", "")
    assert commit() == "unknown", "no git"
