"""Which corrected values ``streamer dlq import`` takes for valid; `tests/operations` writes them back."""

import json
from pathlib import Path
from typing import Any

import pytest

from streamer.cli.dlq.importing import judge_of
from streamer.core.dead_letters.exported import corrected_record
from streamer.settings import load
from tests.core.dead_letters.letters import dead_letter, letter_of

SAMPLE = json.loads(Path("tests/samples/getuserfeedback/01-flow-viewed.json").read_text())
CALL = {"type": "identify", "messageId": "m", "userId": "usr_1", "traits": {"plan": "pro"}}


@pytest.mark.parametrize(
    ("integration", "document", "fault"),
    [
        ("guf", SAMPLE, None),
        ("guf", {**SAMPLE, "properties": {}}, "schema_invalid: /properties/app_id: expected"),
        ("guf", {**SAMPLE, "event": "Flow Dismissed"}, "it would be filtered as event_disabled"),
        ("inbound", CALL, None),
        ("inbound", {**CALL, "traits": 3}, "schema_invalid: /traits: expected"),
        ("inbound", {**CALL, "type": "page"}, "it would be ignored as not_an_action"),
        ("retired", SAMPLE, None),
    ],
)
def test_a_value_is_judged_as_the_record_will_be(
    integration: str, document: Any, fault: str | None, tmp_path: Path
) -> None:
    """A redriven call was vouched for by whoever redrives it, so no signature is asked for."""
    config = tmp_path / "streamer.yaml"
    config.write_text(
        "kafka: {bootstrap_servers: 'a:1'}\n"
        "destinations: {local: {write_key: write-key-of-the-test}}\n"
        "inbound: {topic: calls, webhooks: {production: {secrets: [s], unauthenticated: dead_letter}}}\n"
        "integrations:\n"
        "  guf: {dialect: getuserfeedback, topics: [surveys], destination: local,"
        " events: {disabled: [Flow Dismissed]}}\n"
    )
    value = json.dumps(document).encode()
    record = dead_letter(changes={"streamer.integration": integration.encode(), "streamer.webhook": b"production"})
    found = judge_of(load(config, environ={}))(integration, corrected_record(record, letter_of(record), value), value)
    assert found is None if fault is None else found is not None and found.startswith(fault)
