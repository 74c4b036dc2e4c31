"""`streamer trace` and `streamer audit` as far as they need no broker: what is asked for, and what was meant."""

import argparse
from pathlib import Path

import pytest

from streamer.__main__ import main
from streamer.cli.trace import _place, _place_in
from streamer.settings import load

CONFIG = """
kafka: {bootstrap_servers: "127.0.0.1:1"}
destinations: {segment: {write_key: key, region: us}}
integrations: {feedback: {dialect: getuserfeedback, topics: [surveys.guf], destination: segment}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "streamer.yaml"
    file.write_text(CONFIG)
    return file


@pytest.mark.parametrize(
    "argv",
    [
        ["trace"],
        ["trace", "evt_1", "--user-id", "u"],
        ["trace", "--place", "surveys.guf"],
        ["trace", "--place", "surveys.guf:0:-1"],
        ["trace", "evt_1", "--integration", "absent"],
        ["trace", "evt_1", "--instance", "10.0.0.5:8080"],
        ["audit", "--integration", "absent"],
        ["audit", "--from", "1h", "--to", "2h"],
    ],
)
def test_wrong_usage_ends_with_2(argv: list[str], config: Path) -> None:
    try:
        code = main([*argv, "--config", str(config)])
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else -1
    assert code == 2


@pytest.mark.parametrize("argv", [["trace", "evt_1"], ["audit"]])
def test_brokers_that_are_away_end_with_69(argv: list[str], config: Path) -> None:
    assert main([*argv, "--config", str(config)]) == 69


def test_an_argument_is_a_place_only_in_a_topic_of_the_configuration(config: Path) -> None:
    """A messageId may look like a place."""
    settings = load(config, environ={})
    assert _place_in("surveys.guf:3:4711", settings) == ("surveys.guf", 3, 4711)
    assert _place_in("order:3:4711", settings) is None
    assert _place_in("evt_1", settings) is None
    assert _place("order:3:4711") == ("order", 3, 4711)
    with pytest.raises(argparse.ArgumentTypeError):
        _place(":3:4711")
