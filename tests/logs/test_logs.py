"""Logs: one JSON object per line under the names that readers know, without secrets, and without waiting."""

import asyncio
import json
import logging
import os
import re
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from streamer import logs
from streamer.logs import logger, place_of
from streamer.logs.events import Event
from streamer.logs.fault import MAX_LAST_FAULTS, FaultLine
from streamer.logs.writer import LineWriter

Line = dict[str, object]


@dataclass(frozen=True)
class LogChoice:
    level: str = "info"
    format: str = "json"
    profile: str = "otel"


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., list[str]]:
    """Runs a function under a logging configuration; returns the lines that it wrote."""
    path = tmp_path / "log"

    def run(write: Callable[[], object], choice: LogChoice | None = None) -> list[str]:
        with path.open("wb") as file, logs.configured(choice or LogChoice(), file_descriptor=file.fileno()):
            write()
        return path.read_text().splitlines()

    return run


@pytest.fixture
def line_of(written: Callable[..., list[str]]) -> Callable[[Callable[[], object]], Line]:
    """Runs a function and returns the one line that it wrote, parsed."""

    def run(write: Callable[[], object]) -> Line:
        (line,) = written(write)
        parsed = json.loads(line)
        assert isinstance(parsed, dict)
        return parsed

    return run


LineOf = Callable[[Callable[[], object]], Line]
Written = Callable[..., list[str]]


def test_level_and_form_change_while_the_service_runs(written: Written) -> None:
    def write() -> None:
        logger().emit(Event.SERVICE_STOPPED)
        logs.reconfigure(LogChoice(level="error", format="console"))
        logger().emit(Event.SERVICE_STOPPED)
        logger().emit(Event.SERVER_TOKEN_UNREADABLE, detail="d")
        logs.reconfigure(LogChoice(profile="ecs"))
        logger().emit(Event.SERVICE_STOPPED)

    first, *between, last = written(write)
    assert json.loads(first)["event_name"] == "service.stopped"
    assert "server.token_unreadable" in between[0]
    assert not between[0].startswith("{")
    assert "service.stopped" not in "".join(between)
    assert json.loads(last)["event.action"] == "service.stopped"


def test_a_line_has_the_names_that_readers_know(line_of: LineOf) -> None:
    line = line_of(
        lambda: logger().emit(
            Event.EVENT_DEAD_LETTERED,
            integration="sprig",
            topic="surveys",
            partition=3,
            offset=1042,
            message_id="m-1",
            status=400,
            error_type="400",
            reason="rejected_400",
            detail=None,
        )
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(line.pop("timestamp")))
    assert line.pop("service.version")
    assert line.pop("service.instance.id") == f"{socket.gethostname()}-{os.getpid()}"
    assert line == {
        "level": "error",
        "severity_text": "ERROR",
        "severity_number": 17,
        "event_name": "event.dead_lettered",
        "body": Event.EVENT_DEAD_LETTERED.meaning,
        "logger": "streamer",
        "service.name": "streamer",
        "messaging.system": "kafka",
        "fault": "refused",
        "data_at_risk": "no",
        "next_step": Event.EVENT_DEAD_LETTERED.next_step,
        "runbook": "docs/runbooks/README.md#streamerdeadletters",
        "integration": "sprig",
        "messaging.destination.name": "surveys",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 1042,
        "messaging.message.id": "m-1",
        "http.response.status_code": 400,
        "error.type": "400",
        "reason": "rejected_400",
    }


def test_the_caller_may_know_better_than_the_catalogue(line_of: LineOf) -> None:
    line = line_of(lambda: logger().emit(Event.RECORDS_LOST, data_at_risk="yes", next_step="Run more instances."))
    assert (line["data_at_risk"], line["next_step"], line["fault"]) == ("yes", "Run more instances.", "set_up")


def test_faults_are_counted_whether_their_lines_are_written_or_not(written: Written) -> None:
    """A metric is made of it, and an alert of that: neither may depend on the level or on folding."""
    counted = []

    def write() -> None:
        for event in (Event.KAFKA_UNAVAILABLE, Event.KAFKA_UNAVAILABLE, Event.RECORDS_LOST, Event.SERVICE_STARTED):
            logger().emit(event)
        counted.append(dict(logger().faults))

    assert len(written(write, LogChoice(level="error"))) == 1
    assert counted == [{Event.KAFKA_UNAVAILABLE: 2, Event.RECORDS_LOST: 1}]


def test_lines_below_the_level_are_not_written(written: Written) -> None:
    def write() -> None:
        for event in Event:
            logger().emit(event)

    lines = [json.loads(line) for line in written(write, LogChoice(level="warning"))]
    assert [line["event_name"] for line in lines] == [
        event.event_name for event in Event if event.level >= logging.WARNING
    ]


def test_the_catalogue_is_whole() -> None:
    """Names are a contract in one form; each line explains itself, and each fault says what to do."""
    names = [event.event_name for event in Event]
    assert len(set(names)) == len(list(Event)) == len(names)
    for event in Event:
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", event.event_name), event
        assert event.meaning.endswith("."), event
        assert event.fault is None or event.next_step.endswith("."), event
        assert event.fault is None or event.level >= logging.WARNING, event


def test_auto_means_json_where_no_terminal_is(written: Written) -> None:
    (line,) = written(lambda: logger().emit(Event.SERVICE_STARTED), LogChoice(format="auto"))
    assert json.loads(line)["event_name"] == "service.started"


@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_do_not_come_out(written: Written, form: str) -> None:
    (line,) = written(
        lambda: logger().emit(
            Event.STATE_UNWRITABLE,
            write_key="hunter1",
            sasl_plain_password="hunter2",
            token="hunter3",
            url="https://user:hunt@er4@example.com/path",
            faults=["proxy http://hunter5@example.com is away"],
        ),
        LogChoice(format=form),
    )
    assert "hunt" not in line
    assert "https://REDACTED@example.com/path" in line
    assert "http://REDACTED@example.com is away" in line


def test_lines_of_one_kind_and_subject_are_folded(written: Written) -> None:
    def write() -> None:
        for _ in range(50):
            logger().emit(Event.BATCH_RETRYING, destination="a", error_type="503")
        logger().emit(Event.BATCH_RETRYING, destination="b", error_type="503")
        for _ in range(3):
            logger().emit(Event.SERVICE_STARTED)

    lines = [json.loads(line) for line in written(write)]
    assert [(line["event_name"], line.get("destination"), line.get("suppressed")) for line in lines] == [
        ("batch.retrying", "a", None),
        ("batch.retrying", "b", None),
        ("service.started", None, None),
        ("service.started", None, None),
        ("service.started", None, None),
        ("batch.retrying", "a", 49),
    ]


def test_folded_lines_lose_no_record(written: Written) -> None:
    def write() -> None:
        for records in (1, 20, 300):
            logger().emit(Event.RECORD_WARNING, integration="a", reason="identities_absent", records=records)

    lines = [json.loads(line) for line in written(write)]
    assert [(line["records"], line.get("suppressed")) for line in lines] == [(1, None), (320, 2)]


def test_what_libraries_log_is_written_in_our_form_on_one_line(line_of: LineOf) -> None:
    def lose_connection() -> None:
        raise ConnectionError("secret answer")

    def write() -> None:
        try:
            lose_connection()
        except ConnectionError:
            logging.getLogger("aiokafka.conn").exception("lost %s\nwhile sending secret answer", "broker-1")

    line = line_of(write)
    assert (line["event_name"], line["level"], line["logger"]) == ("library.warned", "warning", "aiokafka.conn")
    assert (line["detail"], line["error.type"]) == ("lost broker-1", "ConnectionError")
    assert "secret" not in json.dumps(line)


@pytest.mark.parametrize(("level", "expected"), [("info", []), ("debug", [("library.said", "debug", "no 1")])])
def test_what_a_line_of_ours_says_as_well_is_for_who_looks_for_faults(
    tmp_path: Path, level: str, expected: list[tuple[str, str, str]]
) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        choice = LogChoice(level=level)
        with logs.configured(choice, file_descriptor=file.fileno(), said_elsewhere={"no %s"}):
            logging.getLogger("aiokafka.conn").error("no %s", 1)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["event_name"], line["level"], line["detail"]) for line in lines] == expected


def test_an_error_of_a_task_that_was_not_awaited_is_a_bug_of_ours(line_of: LineOf) -> None:
    def write() -> None:
        async def fail() -> None:
            raise KeyError("secret answer")

        async def main() -> None:
            task = asyncio.create_task(fail())
            await asyncio.wait([task])

        asyncio.run(main())

    line = line_of(write)
    assert (line["event_name"], line["fault"], line["error.type"]) == ("task.failed", "ours", "KeyError")
    assert re.fullmatch(r"test_logs\.py:\d+ fail", str(line["exception.stacktrace"]))
    assert "secret" not in json.dumps(line)


def test_a_warning_of_python_is_a_log_line(line_of: LineOf) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        line = line_of(lambda: warnings.warn("old", DeprecationWarning, stacklevel=1))
    assert line["logger"] == "py.warnings"
    assert "DeprecationWarning: old" in str(line["detail"])


def test_the_place_of_an_error_has_no_value_in_it() -> None:
    def inner(value: str) -> None:
        raise ValueError(value)

    try:
        inner("secret")
    except ValueError as error:
        place = place_of(error)
    assert re.fullmatch(
        r"test_logs\.py:\d+ test_the_place_of_an_error_has_no_value_in_it > test_logs\.py:\d+ inner", place
    )


def test_the_latest_faults_are_kept_for_the_status(written: Written) -> None:
    kept: list[tuple[str, str, str]] = []

    def write() -> None:
        for number in range(MAX_LAST_FAULTS + 5):
            logger().emit(Event.DESTINATION_HELD, destination=f"d{number}", error_type="401")
        logger().emit(Event.SERVICE_STARTED)
        kept.extend((line.event_name, line.subject, line.reason) for line in logger().last_faults)

    written(write)
    assert kept == [("destination.held", f"d{number}", "401") for number in range(5, MAX_LAST_FAULTS + 5)]


@pytest.mark.parametrize("level", ["debug", "error"])
def test_many_lines_about_one_fault_leave_room_for_the_others(written: Written, level: str) -> None:
    """Those that were folded, or are below the level, count: 20 % broken records at 300/s were all that was shown."""
    kept: list[FaultLine] = []

    def write() -> None:
        logger().emit(Event.DESTINATION_HELD, destination="segment", error_type="401")
        for number in range(600):
            logger().emit(Event.BATCH_RETRYING, integration="sprig", error_type="503", detail=f"no {number}")
        logger().emit(Event.RECORDS_LOST, integration="sprig", reason="retention", data_at_risk="yes")
        kept.extend(logger().last_faults)

    written(write, LogChoice(level=level))
    held, retrying, lost = kept
    assert (held.event_name, held.lines, held.first_at) == ("destination.held", 1, None)
    assert (retrying.lines, retrying.detail, retrying.data_at_risk) == (600, "no 599", "no")
    assert retrying.first_at is not None
    assert retrying.first_at <= retrying.at
    assert lost.data_at_risk == "yes"


def test_a_fault_that_comes_again_is_the_latest_one(written: Written) -> None:
    kept: list[str] = []

    def write() -> None:
        for name in ("one", "other", "one"):
            logger().emit(Event.DESTINATION_HELD, destination=name, error_type="401")
        kept.extend(line.subject for line in logger().last_faults)

    written(write)
    assert kept == ["other", "one"]


def test_events_can_be_asserted_with_structlogs_own_helper() -> None:
    with capture_logs() as captured:
        logger().emit(Event.BATCH_DELIVERED, calls=25)
    assert captured == [{"event": "batch.delivered", "log_level": "debug", "calls": 25}]


def test_a_reader_that_has_stopped_costs_lines_and_not_time() -> None:
    """A pipe without a reader holds 64 KiB. Far more than that is written, and no call waits."""
    read_end, write_end = os.pipe()
    dropped: list[int] = []
    writer = LineWriter(write_end, on_dropped=dropped.append, max_lines=100)
    line = b"x" * 1_000
    for _ in range(2_000):
        writer.write(line)
    received = 0
    os.set_blocking(read_end, True)
    while writer._queue.full():
        received += os.read(read_end, 65_536).count(b"\n")
    writer.write(line)
    lost = sum(dropped)
    while received + lost < 2_001:
        received += os.read(read_end, 65_536).count(b"\n")
    writer.close()
    os.close(read_end)
    os.close(write_end)
    assert received + lost == 2_001
    assert lost > 1_000


def test_a_reader_that_has_gone_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    writer = LineWriter(write_end, on_dropped=lambda _: None)
    for _ in range(100):
        writer.write(b"line")
    writer.close()
    os.close(write_end)
    assert not writer._thread.is_alive()


HANGING_READER = """
from types import SimpleNamespace
from streamer import logs
from streamer.logs.events import Event
with logs.configured(SimpleNamespace(level="info", format="json", profile="otel")):
    for number in range(20_000):
        logs.logger().emit(Event.SERVICE_STARTED, number=number)
"""


def test_a_process_ends_although_its_log_is_not_read() -> None:
    read_end, write_end = os.pipe()
    process = subprocess.run(
        [sys.executable, "-c", HANGING_READER], stdout=write_end, stderr=subprocess.PIPE, timeout=30, check=False
    )
    os.close(read_end)
    os.close(write_end)
    assert process.returncode == 0, process.stderr
    assert process.stderr == b""
