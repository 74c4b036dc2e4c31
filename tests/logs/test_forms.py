"""The forms of a log line: text for people, and JSON under the names of two standards."""

import fcntl
import json
import logging
import os
import pty
import re
import struct
import termios
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streamer import __version__, logs
from streamer.logs import Event, logger
from streamer.logs.fields import COMMON_FIELDS, ECS_COMMON_FIELDS, FIELDS
from streamer.logs.forms import ECS_VERSION
from streamer.logs.resource import resource
from streamer.logs.runbooks import runbook_of


@dataclass(frozen=True)
class LogChoice:
    level: str = "debug"
    format: str = "json"
    profile: str = "ecs"


def written(tmp_path: Path, event: Event, choice: LogChoice | None = None, **fields: object) -> str:
    """The one line that an event makes."""
    path = tmp_path / "log"
    with path.open("wb") as file, logs.configured(choice or LogChoice(), file_descriptor=file.fileno()):
        logger().emit(event, **fields)
    [line] = path.read_text().splitlines()
    return line


def on_terminal(width: int, event: Event, **fields: object) -> list[str]:
    """What an event makes of a terminal of so many columns."""
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        with logs.configured(LogChoice(format="auto"), file_descriptor=theirs):
            logger().emit(event, **fields)
        return os.read(ours, 65_536).decode().replace("\r\n", "\n").rstrip("\n").split("\n")
    finally:
        os.close(ours)
        os.close(theirs)


HELD: dict[str, Any] = {
    "topic": "surveys",
    "integration": "sprig",
    "lag": 3,
    "error_type": "401",
    "destination": "main",
}


class TestConsole:
    @pytest.fixture(autouse=True)
    def without_colours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_COLOR", "1")

    def test_people_read_in_the_order_in_which_they_ask(self, tmp_path: Path) -> None:
        """When, how bad, what, about what, why, is data at risk, what to do; then the rest."""
        line = written(tmp_path, Event.DESTINATION_HELD, LogChoice(format="console"), **HELD)
        assert re.match(r"\d\d:\d\d:\d\d error   destination\.held integration=sprig destination=main ", line)
        names = re.findall(r"(\w+)=", line)
        assert names == [
            *("integration", "destination", "topic", "error_type", "data_at_risk", "next_step", "runbook"),
            *("meaning", "fault", "lag"),
        ]

    def test_where_no_terminal_is_a_line_stays_a_line(self, tmp_path: Path) -> None:
        line = written(tmp_path, Event.DESTINATION_HELD, LogChoice(format="console"), **HELD)
        assert Event.DESTINATION_HELD.meaning in line
        assert "\033" not in line

    def test_a_short_line_is_one_line(self) -> None:
        [line] = on_terminal(80, Event.PARTITION_ASSIGNED, integration="sprig", topic="surveys", partition=3)
        assert line.endswith("info    partition.assigned integration=sprig topic=surveys partition=3")

    @pytest.mark.parametrize("width", [10, 40, 80, 132])
    def test_a_long_line_is_wrapped_between_words(self, width: int) -> None:
        topic = "a-topic.whose-name-is-longer-than-a-narrow-terminal"
        lines = on_terminal(width, Event.DESTINATION_HELD, **{**HELD, "topic": topic})
        assert all(len(line) <= max(width, 40) or " " not in line.strip() for line in lines[1:])
        assert [line[:9] for line in lines[1:]] == [" " * 9] * (len(lines) - 1)
        whole = " ".join(line.strip() for line in lines)
        assert f'next_step="{Event.DESTINATION_HELD.next_step}" runbook=' in whole
        assert f' meaning="{Event.DESTINATION_HELD.meaning}"' in whole
        assert f"topic={topic} " in whole

    def test_what_could_take_over_the_terminal_is_escaped(self, tmp_path: Path) -> None:
        line = written(
            tmp_path, Event.BATCH_SPLIT, LogChoice(format="console"), destination="\033[2J\r\n12:00:00 info", calls=2
        )
        assert r'destination="\u001b[2J\r\n12:00:00 info"' in line

    def test_a_terminal_has_colours_and_a_file_has_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        plain = on_terminal(80, Event.DESTINATION_HELD, **HELD)
        monkeypatch.setenv("NO_COLOR", "")
        coloured = on_terminal(80, Event.DESTINATION_HELD, **HELD)
        assert not any("\033" in line for line in plain)
        assert coloured[0].count("\033[31merror") == 1
        assert [re.sub(r"\033\[\d+m", "", line)[8:] for line in coloured] == [line[8:] for line in plain]


class TestEcs:
    def test_a_fault(self, tmp_path: Path) -> None:
        """The first three keys are those that the ECS logging libraries write first; labels hold no objects."""
        line = json.loads(
            written(
                tmp_path,
                Event.PARTITION_LEFT_OUT,
                integration="sprig",
                topic="surveys",
                partition=3,
                reason="no_leader",
                detail="no broker leads it",
            )
        )
        assert list(line)[:4] == ["@timestamp", "log.level", "message", "ecs.version"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("@timestamp"))
        assert line.pop("service.node.name")
        assert line == {
            "log.level": "error",
            "message": Event.PARTITION_LEFT_OUT.meaning,
            "ecs.version": ECS_VERSION,
            "log.logger": "streamer",
            "event.action": "partition.left_out",
            "event.dataset": "streamer.log",
            "event.outcome": "failure",
            "service.name": "streamer",
            "service.version": __version__,
            "error.message": "no broker leads it",
            "labels": {
                "fault": "kafka",
                "data_at_risk": "no",
                "next_step": Event.PARTITION_LEFT_OUT.next_step,
                "runbook": runbook_of(Event.PARTITION_LEFT_OUT),
                "integration": "sprig",
                "topic": "surveys",
                "partition": 3,
                "reason": "no_leader",
            },
        }

    def test_a_duration_is_in_nanoseconds(self, tmp_path: Path) -> None:
        line = json.loads(written(tmp_path, Event.BATCH_DELIVERED, destination="main", calls=2, duration_seconds=0.041))
        assert (line["event.duration"], line["event.outcome"]) == (41_000_000, "success")
        assert "duration_seconds" not in line["labels"]

    def test_what_is_no_error_is_no_error_message(self, tmp_path: Path) -> None:
        line = json.loads(written(tmp_path, Event.TOPIC_CREATED, dead_letter_topic="a.dlq", detail="partitions=3"))
        assert "error.message" not in line
        assert line["labels"]["detail"] == "partitions=3"

    def test_what_a_library_logs(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        with path.open("wb") as file, logs.configured(LogChoice(), file_descriptor=file.fileno()):
            logging.getLogger("aiokafka").warning("slow")
        line = json.loads(path.read_text())
        assert (line["log.logger"], line["event.outcome"], line["labels"]) == (
            "aiokafka",
            "unknown",
            {"detail": "slow"},
        )

    @pytest.mark.parametrize("event", Event)
    def test_every_field_has_the_name_that_the_page_of_events_tells(self, tmp_path: Path, event: Event) -> None:
        values: dict[str, Any] = {
            name: 1 if name == "duration_seconds" else f"value of {name}" for name in event.fields
        }
        line = json.loads(written(tmp_path, event, **values))
        labels = line.pop("labels", {})
        assert all(isinstance(value, str | int) and "." not in name for name, value in labels.items())
        told = {FIELDS[name].ecs_name or name for name in event.fields} - {"detail"}
        assert told <= {*line, *labels}
        known = {"ecs.version", "event.dataset", "event.outcome", "error.message", *ECS_COMMON_FIELDS.values()}
        assert {*line} - known <= {field.ecs_name for field in FIELDS.values()}


@pytest.mark.parametrize(("name", "ecs_name"), [("trace_id", "trace.id"), ("span_id", "span.id")])
def test_traces_are_found_under_the_names_of_the_schema(name: str, ecs_name: str) -> None:
    if name in FIELDS:
        assert FIELDS[name].ecs_name == ecs_name


def test_the_names_of_the_page_are_those_of_common_fields() -> None:
    assert set(ECS_COMMON_FIELDS) <= set(COMMON_FIELDS)


def test_standard_variables_say_whose_lines_these_are() -> None:
    attributes = "service.instance.id=web%207, deployment.environment.name=staging,team=data,broken"
    assert resource({"OTEL_RESOURCE_ATTRIBUTES": attributes, "OTEL_SERVICE_NAME": "surveys"}) == {
        "service.name": "surveys",
        "service.version": __version__,
        "service.instance.id": "web 7",
        "deployment.environment.name": "staging",
    }
    assert set(resource({})) == {"service.name", "service.version", "service.instance.id"}
