"""Kafka's jars: which are locked, and that only those that match their lock are used. No network."""

import hashlib
import http.client
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from streamer.core.errors import UnavailableError
from streamer.devkit.broker import jars as kafka_jars

BYTES = {"a.b:one:1.0": b"first jar", "a.b:two:2.0": b"second jar"}


class Repository:
    """Stands in for Maven Central: serves ``jars``, or raises, and counts what it is asked for."""

    def __init__(self) -> None:
        self.jars: dict[str, bytes | Exception] = dict(BYTES)
        self.asked: list[str] = []
        self.breaks_off = 0

    def download(self, address: str, _trust: object) -> bytes:
        [coordinate] = [name for name in self.jars if f"/{name.split(':')[1]}/" in address]
        self.asked.append(coordinate)
        if self.breaks_off:
            self.breaks_off -= 1
            raise http.client.IncompleteRead(b"half")
        content = self.jars[coordinate]
        if isinstance(content, Exception):
            raise content
        return content


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Repository:
    """A repository of two jars, both locked, and an empty cache."""
    repository = Repository()
    monkeypatch.setattr(kafka_jars, "_download", repository.download)
    monkeypatch.setattr(kafka_jars, "read_lock", lambda: {name: sha256(content) for name, content in BYTES.items()})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("JGO_CONFIG_FILE", str(tmp_path / "absent"))
    return repository


@pytest.fixture
def classpath() -> Callable[[], list[bytes]]:
    return lambda: [jar.read_bytes() for jar in kafka_jars.kafka_classpath(report=lambda _: None)]


def test_every_locked_jar_has_a_digest_and_no_module_two_versions() -> None:
    lock = kafka_jars.read_lock()

    assert all(re.fullmatch(r"[^:]+:[^:]+:[^:]+", coordinate) for coordinate in lock)
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in lock.values())
    assert len({coordinate.rpartition(":")[0] for coordinate in lock}) == len(lock)


def test_all_of_kafka_is_of_one_version() -> None:
    """Resolvers mix versions without a word; a broker with a client library of another version fails in odd places."""
    kafka = [coordinate for coordinate in kafka_jars.read_lock() if coordinate.startswith("org.apache.kafka:")]

    assert {coordinate.rpartition(":")[2] for coordinate in kafka} == {"4.1.0"}


def test_what_is_requested_is_locked() -> None:
    assert set(kafka_jars.REQUESTED) <= set(kafka_jars.read_lock())


def test_jars_are_fetched_once_in_the_order_of_the_lock(
    repository: Repository, classpath: Callable[[], list[bytes]]
) -> None:
    assert classpath() == [b"first jar", b"second jar"]
    assert classpath() == [b"first jar", b"second jar"]

    assert sorted(repository.asked) == sorted(BYTES)


def test_a_jar_that_was_harmed_in_the_cache_is_fetched_again(
    repository: Repository, classpath: Callable[[], list[bytes]]
) -> None:
    classpath()
    kafka_jars.kafka_classpath()[0].write_bytes(b"half")

    assert classpath() == [b"first jar", b"second jar"]
    assert repository.asked.count("a.b:one:1.0") == 2


def test_a_fetch_that_breaks_off_is_tried_again(repository: Repository, classpath: Callable[[], list[bytes]]) -> None:
    repository.breaks_off = 1

    assert classpath() == [b"first jar", b"second jar"]
    assert len(repository.asked) == 3


def test_a_mirror_is_asked_first(
    repository: Repository, classpath: Callable[[], list[bytes]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "jgo.conf"
    config.write_text("[repositories]\nmirror = http://mirror.test/maven\n", "utf-8")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(config))
    asked: list[str] = []

    def download(address: str, trust: object) -> bytes:
        asked.append(address)
        return repository.download(address, trust)

    monkeypatch.setattr(kafka_jars, "_download", download)
    classpath()

    assert sorted(asked) == [
        "http://mirror.test/maven/a/b/one/1.0/one-1.0.jar",
        "http://mirror.test/maven/a/b/two/2.0/two-2.0.jar",
    ]


def test_a_jar_that_is_not_the_locked_one_is_refused_and_not_kept(
    repository: Repository, classpath: Callable[[], list[bytes]]
) -> None:
    repository.jars["a.b:two:2.0"] = b"something else"

    with pytest.raises(UnavailableError, match=r"a\.b:two:2\.0 was downloaded, but its SHA-256 digest is not"):
        classpath()

    assert {path.read_bytes() for path in kafka_jars.cache_directory().iterdir()} <= {b"first jar"}


def test_a_repository_that_is_away_is_reported_with_its_error_and_a_way_out(
    repository: Repository, classpath: Callable[[], list[bytes]]
) -> None:
    repository.jars["a.b:two:2.0"] = ConnectionError("no route")

    with pytest.raises(
        UnavailableError, match=r"two:2\.0 cannot be downloaded \(no route\).*STREAMER_KAFKA__BOOTSTRAP"
    ):
        classpath()

    assert repository.asked.count("a.b:two:2.0") == kafka_jars.MAX_ATTEMPTS


def test_a_missing_extra_is_named() -> None:
    with pytest.raises(UnavailableError, match=r"absent_package \(the extra demo\)"):
        kafka_jars.import_demo_package("absent_package.part")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
