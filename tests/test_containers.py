"""Dockerfile and docker-compose.yml, as far as they can be judged without Docker."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamer.__main__ import _parser
from streamer.settings import load

ROOT = Path(__file__).parent.parent
CONFIG = ROOT / "examples" / "compose.yaml"
USER_ID = 10001


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, in order; continued lines are joined."""
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))


@pytest.fixture(scope="module")
def ignore_lines() -> list[str]:
    return [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if not line.startswith("#")]


def last(instructions: list[tuple[str, str]], name: str) -> str:
    return [argument for instruction, argument in instructions if instruction == name][-1]


def test_the_image_knows_its_commit(instructions: list[tuple[str, str]]) -> None:
    """In the stage that runs: an argument holds for one stage only."""
    last_stage = len(instructions) - [name for name, _ in reversed(instructions)].index("FROM")
    given = instructions[last_stage:]
    assert given.index(("ARG", "COMMIT=unknown")) < given.index(("ENV", "STREAMER_COMMIT=$COMMIT"))


def test_the_compose_file_follows_the_specification() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_published_port_is_bound_to_this_machine(compose: Any) -> None:
    """The sandbox and this Kafka know no passwords."""
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_each_service_that_another_waits_for_says_when_it_is_healthy(compose: Any) -> None:
    services = compose["services"]
    awaited = [
        name
        for service in services.values()
        for name, dependency in service.get("depends_on", {}).items()
        if dependency["condition"] == "service_healthy"
    ]

    assert set(awaited) == {"kafka", "sandbox", "prometheus"}
    assert all("healthcheck" in services[name] for name in awaited)


def test_the_mounted_configuration_is_right_and_its_topics_are_made(compose: Any) -> None:
    [script] = compose["services"]["topics"]["command"]

    settings = load(CONFIG, environ={})

    topics = {topic for integration in settings.integrations.values() for topic in integration.topics}
    assert topics == set(re.findall(r"surveys\.[a-z-]+", script))
    assert f"./{CONFIG.relative_to(ROOT)}:/etc/streamer/streamer.yaml:ro" in compose["services"]["streamer"]["volumes"]
    assert f"PLAINTEXT://{settings.kafka.bootstrap_servers}" in str(compose["services"]["kafka"]["environment"])


def test_the_containers_commands_are_commands_of_streamer(compose: Any, instructions: list[tuple[str, str]]) -> None:
    """An argument that is none would end the parser, and so the container."""
    for command in (json.loads(last(instructions, "CMD")), compose["services"]["sandbox"]["command"]):
        assert _parser().parse_args(command).run


def test_the_image_runs_as_a_numbered_user_that_is_not_root(instructions: list[tuple[str, str]]) -> None:
    assert last(instructions, "USER") == f"{USER_ID}:{USER_ID}"
    assert f"--owner {USER_ID} --group {USER_ID} {last(instructions, 'WORKDIR')}" in last(instructions, "RUN")


def test_all_that_the_image_downloads_is_locked_by_hash(instructions: list[tuple[str, str]]) -> None:
    commands = [command for name, run in instructions if name == "RUN" for command in run.split("&&")]
    installs = [command for command in commands if re.search(r"pip .*\b(install|wheel)\b", command)]

    assert installs
    for command in installs:
        assert "--require-hashes" in command or "--no-index" in command, command
    assert any("-r requirements.lock" in command for command in installs)


def test_the_image_starts_the_service(instructions: list[tuple[str, str]]) -> None:
    assert json.loads(last(instructions, "ENTRYPOINT")) == ["streamer"]
    assert json.loads(last(instructions, "CMD")) == ["run", "--config", "/etc/streamer/streamer.yaml"]
    assert last(instructions, "STOPSIGNAL") == "SIGTERM"
    _, _, check = last(instructions, "HEALTHCHECK").partition("CMD ")
    assert "/livez" in json.loads(check)[-1]


def test_probes_reach_the_server_of_the_image_unless_the_file_closes_it(
    instructions: list[tuple[str, str]], tmp_path: Path
) -> None:
    """Probes come from outside of the container, where its loopback interface cannot be reached."""
    environ = dict(pair.split("=", 1) for name, argument in instructions if name == "ENV" for pair in argument.split())
    closed = tmp_path / "streamer.yaml"
    closed.write_text(CONFIG.read_text("utf-8") + "server: {host: 127.0.0.1}\n", "utf-8")

    assert load(CONFIG, environ).server.host == "::"
    assert load(closed, environ).server.host == "127.0.0.1"


def test_what_the_image_copies_exists_and_is_not_ignored(
    instructions: list[tuple[str, str]], ignore_lines: list[str]
) -> None:
    copied = [
        source
        for name, argument in instructions
        if name == "COPY" and "--from" not in argument
        for source in argument.split()[:-1]
    ]

    assert copied
    assert all((ROOT / source).exists() for source in copied)
    assert sorted(f"!{source}" for source in copied) == sorted(line for line in ignore_lines if line.startswith("!"))
    assert ignore_lines[0] == "*"


def test_every_package_travels_in_the_wheel() -> None:
    """The image installs a wheel; an editable checkout would not show that a package is missing from the list."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    here = {".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / "streamer").rglob("__init__.py")}

    assert set(project["tool"]["setuptools"]["packages"]) == here | {"streamer.schemas"}
