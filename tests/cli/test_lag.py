"""The command line of ``streamer lag``; `tests/operations` asks a broker, `tests/core` knows the rules."""

from pathlib import Path

import pytest

from streamer.__main__ import main
from streamer.operations.lag import groups_of
from streamer.settings import load


@pytest.fixture
def config(tmp_path: Path, closed_port: int) -> Path:
    """A configuration in order, whose broker is not there."""
    path = tmp_path / "streamer.yaml"
    path.write_text(
        f'kafka: {{bootstrap_servers: "127.0.0.1:{closed_port}"}}\n'
        "destinations: {local: {write_key: write-key-of-the-test, endpoint: 'http://127.0.0.1:1'}}\n"
        "inbound: {topic: calls, webhooks: {production: {secrets: [s]}}}\n"
        "integrations:\n"
        "  sprig: {dialect: sprig, topics: [answers], destination: local}\n"
        "  guf: {dialect: getuserfeedback, topics: [flows, more], destination: local}\n"
    )
    return path


@pytest.mark.parametrize("arguments", [["--max-lag", "-1"], ["--max-age", "soon"], ["--output", "yaml"]])
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["lag", *arguments])
    assert ended.value.code == 2


def test_an_integration_that_is_not_configured_is_wrong_usage(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lag", "--config", str(config), "--integration", "spring"]) == 2
    assert "has no integration spring; it has sprig, guf, inbound" in capsys.readouterr().err


def test_brokers_that_are_away_end_with_69(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lag", "--config", str(config), "--max-lag", "0"]) == 69
    out, err = capsys.readouterr()
    assert out == ""
    assert "start the broker" in err


@pytest.mark.parametrize(
    ("integrations", "groups", "meant"),
    [
        ([], [], ["streamer.sprig", "streamer.guf", "streamer.inbound"]),
        (["sprig"], [], ["streamer.sprig"]),
        (["inbound"], ["streamer.guf"], ["streamer.guf", "streamer.inbound"]),
        ([], ["streamer.guf"], ["streamer.guf"]),
        ([], ["of.somebody"], ["of.somebody"]),
    ],
)
def test_groups_are_meant_by_integration_or_by_name(
    config: Path, integrations: list[str], groups: list[str], meant: list[str]
) -> None:
    """A group of nobody is asked for its positions in every topic of the configuration."""
    found = groups_of(load(config, environ={}), integrations, groups)
    assert [group for _, group, _ in found] == meant
    if meant == ["of.somebody"]:
        assert found == [("", "of.somebody", ["answers", "calls", "flows", "more"])]
