"""Kafka's jars: which are locked, and that only those that match their lock are used. No network."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streamer import kafka_jars
from streamer.core.errors import UnavailableError

BYTES = {"a.b:one:1.0": b"first jar", "a.b:two:2.0": b"second jar"}


class Repository:
    """Stands in for jgo: serves ``jars``, or raises, and counts what it is asked for."""

    def __init__(self) -> None:
        self.jars: dict[str, bytes | Exception] = dict(BYTES)
        self.asked: list[str] = []

    def import_package(self, name: str) -> Any:
        return {
            "jgo.maven": SimpleNamespace(MavenContext=self.context),
            "jgo.config": SimpleNamespace(
                GlobalSettings=SimpleNamespace(load=lambda: SimpleNamespace(repositories={}))
            ),
            "jgo.constants": SimpleNamespace(MAVEN_CENTRAL_URL=""),
        }[name]

    def context(self, *, repo_cache: Path, **_: object) -> Any:
        def at_version(group: str, artifact: str, version: str) -> Any:
            coordinate = f"{group}:{artifact}:{version}"
            return SimpleNamespace(artifact=lambda: SimpleNamespace(resolve=lambda: self.fetch(repo_cache, coordinate)))

        return SimpleNamespace(
            project=lambda group, artifact: SimpleNamespace(
                at_version=lambda version: at_version(group, artifact, version)
            )
        )

    def fetch(self, directory: Path, coordinate: str) -> Path:
        self.asked.append(coordinate)
        content = self.jars[coordinate]
        if isinstance(content, Exception):
            raise content
        jar = directory / "some.jar"
        jar.write_bytes(content)
        return jar


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Repository:
    """A repository of two jars, both locked, and an empty cache."""
    repository = Repository()
    monkeypatch.setattr(kafka_jars, "import_demo_package", repository.import_package)
    monkeypatch.setattr(kafka_jars, "read_lock", lambda: {name: sha256(content) for name, content in BYTES.items()})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
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


def test_a_fetch_that_fails_once_is_tried_again(
    repository: Repository, classpath: Callable[[], list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, answers = repository.fetch, [ConnectionResetError("broke off")]

    def fetch(directory: Path, coordinate: str) -> Path:
        if answers:
            raise answers.pop()
        return whole(directory, coordinate)

    monkeypatch.setattr(repository, "fetch", fetch)

    assert classpath() == [b"first jar", b"second jar"]


def test_a_jar_that_is_not_the_locked_one_is_refused_and_not_kept(
    repository: Repository, classpath: Callable[[], list[bytes]]
) -> None:
    repository.jars["a.b:two:2.0"] = b"something else"

    with pytest.raises(UnavailableError, match=r"a\.b:two:2\.0 is not the file that kafka_jars\.toml locks"):
        classpath()

    assert b"something else" not in [path.read_bytes() for path in kafka_jars.cache_directory().iterdir()]


@pytest.mark.parametrize("fault", [ConnectionError("no route"), RuntimeError("not found")], ids=["away", "not found"])
def test_a_repository_that_is_away_is_reported_with_a_way_out(
    repository: Repository, classpath: Callable[[], list[bytes]], fault: Exception
) -> None:
    repository.jars["a.b:two:2.0"] = fault

    with pytest.raises(UnavailableError, match=r"a\.b:two:2\.0 cannot be fetched.*STREAMER_KAFKA__BOOTSTRAP_SERVERS"):
        classpath()

    assert repository.asked.count("a.b:two:2.0") == kafka_jars.MAX_ATTEMPTS


def test_a_missing_extra_is_named() -> None:
    with pytest.raises(UnavailableError, match=r'absent_package: pip install "streamer\[demo\]"'):
        kafka_jars.import_demo_package("absent_package.part")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
