"""The command lines of ``streamer pause`` and ``streamer resume``; `tests/service/test_steering.py` tries them."""

from pathlib import Path

import pytest

from streamer.__main__ import main
from streamer.cli import pause, resume
from streamer.cli.values import positive_duration
from streamer.core.steering.order import Order

EXIT_USAGE, EXIT_UNAVAILABLE, EXIT_SETTINGS = 2, 69, 78


@pytest.fixture
def config(tmp_path: Path, closed_port: int) -> Path:
    """A configuration in order, whose broker is not there."""
    path = tmp_path / "streamer.yaml"
    path.write_text(
        f'kafka: {{bootstrap_servers: "127.0.0.1:{closed_port}"}}\n'
        f"state_dir: {tmp_path / 'state'}\n"
        "destinations: {local: {write_key: write-key-of-the-test, endpoint: 'http://127.0.0.1:1'}}\n"
        "integrations: {sprig: {dialect: sprig, topics: [answers], destination: local}}\n"
        "inbound: {environment: production, webhooks: {production: {secrets: [0123456789abcdef0123456789abcdef]}}}\n"
    )
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ["pause"],
        ["resume"],
        ["resume", "sprig", "--for", "1h"],
        ["pause", "sprig", "--for", "0s"],
        ["pause", "sprig", "--for", "60"],
        ["pause", "sprig", "--for", "an hour"],
        ["pause", "sprig", "--for", "4000d"],
        ["pause", "sprig", "--instance", "10.0.0.5"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == EXIT_USAGE
    assert "usage: streamer" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_a_name_that_is_not_there_is_told_with_those_that_are(
    command: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "sprigg", "--config", str(config)]) == EXIT_USAGE
    assert "has no integration sprigg; it has sprig, inbound" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_without_brokers_no_order_is_given(command: str, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "sprig", "--config", str(config)]) == EXIT_UNAVAILABLE
    assert "no program listens on this port" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_without_a_control_topic_nobody_obeys(command: str, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(f"{config.read_text()}control: false\n")
    assert main([command, "sprig", "--config", str(config)]) == EXIT_SETTINGS
    assert "control: false, so running instances take no orders" in capsys.readouterr().err


def test_to_discard_needs_execute(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is the one order that cannot be undone; no broker is asked."""
    assert main(["pause", "sprig", "--discard", "--config", str(config)]) == 0
    assert "nothing was done; --execute pauses sprig and discards" in capsys.readouterr().err


def test_calls_of_the_way_back_are_not_discarded(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pause", "inbound", "--discard", "--execute", "--config", str(config)]) == EXIT_USAGE
    assert "calls of the way back can only wait" in capsys.readouterr().err


def test_durations_have_a_unit_and_bounds() -> None:
    assert positive_duration("90m") == 5_400.0


def test_the_order_says_until_when() -> None:
    order = pause._paused(Order(at=0.0), 1_000.0, by="ada@web-7", reason="moves", seconds=60.0, discard=True)
    assert order == Order(is_paused=True, discard=True, until=1_060.0, reason="moves", by="ada@web-7", at=1_000.0)
    assert not resume._resumed(order, 1_001.0, by="bob@web-8", reason="").is_paused
