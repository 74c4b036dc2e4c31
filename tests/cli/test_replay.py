"""The command line of ``streamer replay``; `tests/service/test_replay.py` tries what it does on a broker."""

import argparse
import shlex
import time
from pathlib import Path

import pytest

from streamer.__main__ import _parser, main
from streamer.cli.replay import moment
from streamer.cli.replay_order import UsageError, order_of
from streamer.cli.replay_words import command_of
from streamer.replay import Order, settings_for
from streamer.settings import load

TEN, ELEVEN = "2025-11-27T10:00:00Z", "2025-11-27T11:00:00.250Z"


@pytest.fixture
def config(tmp_path: Path, closed_port: int) -> Path:
    """A configuration in order, whose broker is not there."""
    path = tmp_path / "streamer.yaml"
    path.write_text(
        f'kafka: {{bootstrap_servers: "127.0.0.1:{closed_port}", group_instance_id: pod-1}}\n'
        f"state_dir: {tmp_path / 'state'}\n"
        "destinations:\n"
        "  local: {write_key: write-key-of-the-test, endpoint: 'http://127.0.0.1:1', rate_limit: 50}\n"
        "  staging: {write_key: write-key-of-the-test, endpoint: 'http://127.0.0.1:2', message_id_suffix: -2}\n"
        "  product: {kind: product_fruits, api_key: key-of-the-test, endpoint: 'http://127.0.0.1:3'}\n"
        "integrations:\n"
        "  sprig: {dialect: sprig, topics: [answers], destination: local, status: paused, on_pause: discard}\n"
        "  users: {dialect: profiles, topics: [profiles], destination: product}\n"
    )
    return path


def parsed(config: Path, *words: str) -> argparse.Namespace:
    return _parser().parse_args(["replay", "--config", str(config), "--from", TEN, "--to", ELEVEN, *words])


def order(config: Path, *words: str) -> Order:
    return order_of(parsed(config, "--integration", "sprig", *words), load(config, {}))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "--integration is missing; "),
        (["--integration", "sprg"], "has no integration sprg; it has sprig, users"),
        (["--integration", "users"], "an old state would replace a newer one"),
        (["--integration", "sprig", "--to-destination", "mars"], "has no destination mars"),
        (["--integration", "sprig", "--to-destination", "product"], "of the kind product_fruits"),
        (["--integration", "sprig", "--rate", "0.5/s"], "at least 1/s"),
        (["--integration", "sprig", "--from", ELEVEN], "--from must be before --to"),
        (["--integration", "sprig", "--to", "2999-01-01T00:00:00Z"], "must not be in the future"),
    ],
)
def test_what_makes_no_sense_is_said(config: Path, words: list[str], why: str) -> None:
    with pytest.raises(UsageError) as refused:
        order_of(parsed(config, *words), load(config, {}))
    assert why in str(refused.value)


def test_execution_wants_times_that_mean_the_same_tomorrow(config: Path) -> None:
    words = ("--from", "2h", "--to", "1h")
    assert order(config, *words).name.startswith("sprig.")
    with pytest.raises(UsageError) as refused:
        order(config, *words, "--execute")
    _, _, command = str(refused.value).partition("Type: ")
    again = _parser().parse_args(shlex.split(command)[1:])
    assert again.execute
    assert abs(again.since.at - (time.time() - 7_200)) < 60
    assert order_of(again, load(config, {})).name.startswith("sprig.")


def test_the_command_to_go_on_is_the_same_replay(config: Path, tmp_path: Path) -> None:
    words = ["--to-destination", "staging", "--rate", "7/s", "--force", "--instance", "http://h:1"]
    words += ["--token-file", str(tmp_path / "a token")]
    args = parsed(config, "--integration", "sprig", *words)
    again = _parser().parse_args(shlex.split(command_of(args, "sprig"))[1:])
    assert vars(again) == vars(args) | {"execute": True}


def test_moments_on_the_command_line() -> None:
    assert moment(TEN) == (1_764_237_600.0, True)
    assert not moment("2h").is_fixed


def test_a_replay_has_a_group_a_rate_and_a_directory_of_its_own(config: Path, tmp_path: Path) -> None:
    plain, elsewhere = order(config), order(config, "--to-destination", "staging", "--rate", "70/s")
    own = settings_for(plain, load(config, {}), tmp_path / "own")
    integration = own.integrations["sprig"]
    assert integration.group_id == "streamer.replay.sprig.20251127T100000Z-20251127T110000.250Z"
    assert not own.mapping("sprig").discard, "what a paused integration has discarded is wanted"
    assert own.destinations["local"].rate_limit == 50, "the destination's own limit holds as well"
    assert (own.state_dir, own.kafka.group_instance_id) == (tmp_path / "own", None)
    assert (plain.shown, elsewhere.shown) == ("sprig", "sprig@staging")
    other = settings_for(elsewhere, load(config, {}), tmp_path)
    assert list(other.destinations) == ["staging"]
    assert (other.destinations["staging"].rate_limit, other.mapping("sprig").message_id_suffix) == (70, "-2")


def test_brokers_that_are_away_end_it_with_69(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--integration", "sprig", "--from", TEN, "--to", ELEVEN, "--execute"]
    assert main(["replay", "--config", str(config), *words]) == 69
    assert capsys.readouterr().out == ""


def test_wrong_usage_ends_with_2(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--config", str(config), "--from", TEN, "--to", ELEVEN]) == 2
    assert "--integration is missing" in capsys.readouterr().err
