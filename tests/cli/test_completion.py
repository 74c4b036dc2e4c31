"""Completion in the shells themselves; a shell that is not installed is skipped."""

import os
import pty
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "TERM": "dumb"}
WAIT_SECONDS = 30.0


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Only its integrations matter; as a whole it is no valid configuration."""
    path = tmp_path / "streamer.yaml"
    path.write_text("integrations: {nps-europe: {}, nps-us: {}, churn: {}}\n")
    return path


def shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    if not (BIN / "streamer").exists():
        pytest.skip("the command streamer is not installed beside this Python")
    return found


def bash(line: str) -> set[str]:
    """What bash offers at the end of a line."""
    script = (
        'eval "$(streamer completion bash)"\n'
        'read -r -a COMP_WORDS <<< "$LINE"\n'
        '[[ "$LINE" == *" " ]] && COMP_WORDS+=("")\n'
        'COMP_LINE="$LINE" COMP_POINT=${#LINE} COMP_TYPE=9 COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n'
        "$(complete -p streamer | sed -e 's/.* -F //' -e 's/ .*//') streamer\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        [shell("bash"), "--norc", "-c", script], env={**ENVIRONMENT, "LINE": line}, capture_output=True, check=True
    )
    return {offered.strip() for offered in done.stdout.decode().splitlines() if offered.strip()}


def fish(line: str) -> set[str]:
    script = "streamer completion fish | source; complete --do-complete $LINE"
    done = subprocess.run(
        [shell("fish"), "--no-config", "-c", script], env={**ENVIRONMENT, "LINE": line}, capture_output=True, check=True
    )
    return {offered.split("\t")[0] for offered in done.stdout.decode().splitlines()}


def test_bash_completes_commands() -> None:
    assert bash("streamer c") >= {"check", "completion"}


def test_bash_completes_the_integrations_of_a_configuration(config: Path) -> None:
    assert bash(f"streamer map --config {config} --integration nps-") == {"nps-europe", "nps-us"}


def test_fish_completes_commands_and_integrations(config: Path) -> None:
    assert {"check", "completion"} <= fish("streamer c")
    assert {"nps-europe", "nps-us"} <= fish(f"streamer dlq ls --config {config} --integration nps-")


def test_zsh_completes_a_command_at_a_tab() -> None:
    """Zsh completes only on a terminal, so it gets one."""
    path = shell("zsh")
    process, terminal = pty.fork()
    if not process:
        os.execve(path, ["zsh", "-f", "-i"], ENVIRONMENT)
    try:
        os.write(
            terminal, b'autoload -Uz compinit && compinit -u -D && eval "$(streamer completion zsh)"; echo re""ady\n'
        )
        read_until(terminal, b"ready")
        os.write(terminal, b"streamer vers\t")
        read_until(terminal, b"streamer version ")
    finally:
        os.close(terminal)
        os.waitpid(process, 0)


def read_until(terminal: int, expected: bytes) -> None:
    """Read what a terminal shows until it shows this."""
    shown, deadline = b"", time.monotonic() + WAIT_SECONDS
    while expected not in shown:
        assert time.monotonic() < deadline, f"{shown!r} has no {expected!r}"
        shown += os.read(terminal, 4096)


def test_a_broken_configuration_offers_nothing(tmp_path: Path) -> None:
    path = tmp_path / "streamer.yaml"
    path.write_text("integrations: [unclosed\n")
    assert bash(f"streamer map --config {path} --integration n") == set()


def test_other_commands_do_not_load_the_library() -> None:
    """It would make each of them slower."""
    code = (
        "import sys; from streamer.__main__ import main\n"
        "main(['version'])\n"
        "print('argcomplete' in sys.modules, file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr == "False\n"
