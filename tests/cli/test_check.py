import os
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from streamer.__main__ import main
from streamer.operations import connection_check
from streamer.operations.findings import Findings

GOOD = """\
kafka: {bootstrap_servers: "127.0.0.1:PORT"}
destinations:
  local: {write_key_file: KEYFILE, endpoint: "http://127.0.0.1:1"}
integrations:
  sprig: {dialect: sprig, topics: [a, b], destination: local}
  guf: {dialect: getuserfeedback, topics: [c], destination: local, status: paused, dead_letters: {topic: refused}}
"""


@pytest.fixture
def config(tmp_path: Path, closed_port: int) -> Path:
    """A configuration in order, which points to nothing that is there."""
    path = tmp_path / "streamer.yaml"
    (tmp_path / "key").write_text("key")
    path.write_text(GOOD.replace("PORT", str(closed_port)).replace("KEYFILE", str(tmp_path / "key")))
    return path


@pytest.fixture(autouse=True)
def _without_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def test_a_configuration_in_order_is_summed_up(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing elsewhere is looked at: neither the brokers nor the destination, where nobody listens."""
    assert main(["check", "--config", str(config)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    first, second, traces, last = out.splitlines()
    assert first == (
        "sprig: a, b (sprig) -> local (http://127.0.0.1:1), group streamer.sprig, running, dead letters to a.dlq, b.dlq"
    )
    assert second.endswith("group streamer.guf, paused (hold), dead letters to refused")
    assert traces == "traces: off (OTEL_EXPORTER_OTLP_ENDPOINT turns them on)"
    assert last.startswith("configuration ")


def test_it_says_where_traces_go(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:hunter2@collector:4318")
    assert main(["check", "--config", str(config)]) == 0
    assert "traces: on, sent to http://REDACTED:REDACTED@collector:4318/v1/traces\n" in capsys.readouterr().out
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    assert main(["check", "--config", str(config)]) == 0
    out, err = capsys.readouterr()
    assert "traces: off\n" in out
    assert err.startswith("streamer: warning: no traces are sent: OTEL_EXPORTER_OTLP_PROTOCOL asks for a protocol")


def test_faults_go_to_stderr_all_at_once(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(
        config.read_text().replace("dialect: sprig", "dialekt: sprig").replace("topics: [c]", "topics: 1")
    )
    assert main(["check", "--config", str(config)]) == 78
    out, err = capsys.readouterr()
    assert out == ""
    heading, *faults = err.splitlines()
    assert heading == f"streamer: 3 faults in {config}:"
    assert [fault.split(" (")[0] for fault in faults] == [
        "  integrations.sprig.dialect",
        "  integrations.sprig.dialekt",
        "  integrations.guf.topics",
    ]


def test_a_write_key_file_that_is_not_there_is_a_fault(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").unlink()
    assert main(["check", "--config", str(config), "--connect"]) == 78
    assert "destinations.local.write_key_file (line 3):" in capsys.readouterr().err


def test_what_was_hardly_meant_is_a_warning(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STREAMER_LOG_LEVEL", "debug")
    assert main(["check", "--config", str(config)]) == 0
    out, err = capsys.readouterr()
    assert "has no faults" in out
    assert err == (
        "streamer: warning: environment variable STREAMER_LOG_LEVEL: names no setting and is ignored"
        " (did you mean STREAMER_LOG__LEVEL?)\n"
    )


def test_a_missing_file_is_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(tmp_path / "none.yaml")]) == 78
    assert (
        "none.yaml: cannot be read: No such file or directory; name the file with --config" in capsys.readouterr().err
    )


def test_the_environment_may_name_the_file(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STREAMER_CONFIG", str(config))
    assert main(["check"]) == 0
    assert "has no faults" in capsys.readouterr().out


def test_connect_lists_every_problem_outside(
    config: Path, closed_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The brokers being away does not keep the destination from being looked at."""
    assert main(["check", "--config", str(config), "--connect"]) == 69
    out, err = capsys.readouterr()
    assert out == ""
    heading, brokers, destination = err.splitlines()
    assert heading == f"streamer: {config} is valid, but there are 2 problems:"
    assert brokers.startswith(f"  kafka: 127.0.0.1:{closed_port}: no program listens on this port; start the broker")
    assert destination.startswith(
        "  destinations.local: http://127.0.0.1:1 cannot be reached: no program listens there"
    )


def test_what_connect_warns_of_is_no_failure(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Findings(warnings=["integrations.sprig.dead_letters.topic: a.dlq is compacted"])
    monkeypatch.setattr(connection_check, "look", AsyncMock(return_value=found))
    assert main(["check", "--config", str(config), "--connect"]) == 0
    out, err = capsys.readouterr()
    assert "has no faults" in out
    assert err == "streamer: warning: integrations.sprig.dead_letters.topic: a.dlq is compacted\n"


def test_a_platform_is_looked_at_without_its_key(
    tmp_path: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither API has a harmless question about a key, so only the connection is looked at."""
    path = tmp_path / "push.yaml"
    path.write_text(
        "kafka: {bootstrap_servers: 'a:1'}\n"
        f"destinations: {{platform: {{kind: product_fruits, api_key: secret_key, "
        f"endpoint: 'http://127.0.0.1:{closed_port}/pf'}}}}\n"
        "integrations: {users: {dialect: profiles, topics: [profiles], destination: platform}}\n"
    )
    monkeypatch.setattr(connection_check, "_ask_brokers", AsyncMock())
    assert main(["check", "--connect", "--config", str(path)]) == 69
    out, err = capsys.readouterr()
    assert "destinations.platform: " in err
    assert "cannot be reached" in err
    assert "secret_key" not in out + err


def test_the_way_back_is_summarised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "streamer.yaml"
    config.write_text(
        "kafka: {bootstrap_servers: broker:9092}\n"
        "inbound: {webhooks: {production: {secrets: [hidden-secret]}}}\n"
        "directory: {url: postgresql://streamer:hidden-password@db:5432/streamer}\n"
    )
    assert main(["check", "--config", str(config)]) == 0
    out = capsys.readouterr().out
    assert "http://127.0.0.1:8081/webhooks/segment/ production -> segment.inbound" in out
    assert "directory (postgresql://db:5432/streamer) -> surveys.profiles, surveys.triggers" in out
    assert "hidden" not in out
