"""The AsyncAPI documents: valid by AsyncAPI's own schema, true about the topics, their examples too."""

import json
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import pytest

from streamer.core.dead_letters.letter import COMPLETE, Composer
from streamer.core.describing.asyncapi import DEAD_LETTER_HEADERS
from streamer.core.model import DeadLetterReason, Stage
from streamer.core.records.account import Account
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord
from streamer.core.records.pending_letter import PendingLetter
from streamer.operations.describing import document_of, document_of_dialects
from streamer.settings import load
from tests.doubles.kafka import MemoryRecord

ROOT: Final = Path(__file__).parents[2]
OFFICIAL: Final = ROOT / "tests/core/describing/asyncapi/3.0.0.json"
ENVIRONMENT: Final = {
    "SEGMENT_WRITE_KEY": "key",
    "SEGMENT_WEBHOOK_SECRET": "secret",
    "SPRIG_API_KEY": "key",
    "PRODUCT_FRUITS_API_KEY": "key",
}
DOCUMENTS: Final = {
    "dialects": document_of_dialects(title="Survey events"),
    **{
        name: document_of(load(ROOT / "examples" / f"{name}.yaml", ENVIRONMENT), title="Survey events")
        for name in ("streamer", "inbound", "push")
    },
}


@pytest.fixture(scope="module")
def official() -> jsonschema_rs.Draft7Validator:
    return jsonschema_rs.Draft7Validator(json.loads(OFFICIAL.read_text("utf-8")))


def resolved(document: dict[str, Any], reference: str) -> Any:
    part: Any = document
    for step in reference.removeprefix("#/").split("/"):
        part = part[step]
    return part


def references_in(part: Any) -> list[str]:
    if isinstance(part, list):
        return [one for entry in part for one in references_in(entry)]
    if not isinstance(part, dict):
        return []
    found = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
    return found + [one for entry in part.values() for one in references_in(entry)]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_valid_by_the_official_schema(name: str, official: jsonschema_rs.Draft7Validator) -> None:
    document = json.loads(json.dumps(DOCUMENTS[name]))
    assert [error.message for error in official.iter_errors(document)] == []
    assert not official.is_valid({**document, "channels": {"one": {"adress": None}}})


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_reference_leads_somewhere(name: str) -> None:
    document = DOCUMENTS[name]
    for reference in references_in({**document, "components": {**document["components"], "schemas": {}}}):
        assert resolved(document, reference) is not None


@pytest.mark.parametrize("name", DOCUMENTS)
def test_examples_are_valid_payloads(name: str) -> None:
    document = DOCUMENTS[name]
    checked = 0
    for message in document["components"]["messages"].values():
        for example in message.get("examples", ()):
            schema = resolved(document, message["payload"]["$ref"])["schema"]
            jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(example["payload"])
            checked += 1
    assert checked or name == "push"


def test_topics_of_a_configuration_say_who_reads_and_writes_them() -> None:
    document = DOCUMENTS["streamer"]
    operations = {
        (one["action"], one["channel"]["$ref"].split("/")[-1]): one for one in document["operations"].values()
    }
    group = operations["receive", "surveys.sprig"]["bindings"]["kafka"]["groupId"]
    assert group == {"type": "string", "enum": ["streamer.sprig"]}
    assert ("send", "surveys.sprig.dlq") in operations
    assert document["servers"]["broker1"]["protocol"] in {"kafka", "kafka-secure"}


def test_what_the_way_back_writes_is_in_the_document() -> None:
    operations = DOCUMENTS["inbound"]["operations"]
    assert {"receive.segment.inbound", "send.segment.inbound", "send.surveys.profiles"} <= operations.keys()
    bindings = DOCUMENTS["inbound"]["channels"]["surveys.profiles"]["bindings"]["kafka"]
    assert bindings["topicConfiguration"] == {"cleanup.policy": ["compact"]}


def test_no_secret_is_in_a_document() -> None:
    for document in DOCUMENTS.values():
        assert "secret" not in json.dumps(document["channels"])
        assert '"key"' not in json.dumps(document.get("servers", {}))


def test_the_headers_of_dead_letters_are_all_described() -> None:
    ledger = PartitionLedger("t", 0, 0, Account())
    record = MemoryRecord("t", 0, 0, 1, None, b"{}", ())
    opened = OpenRecord(record, ledger, "m", b"{}", b"d" * 16)
    opened.first_failed_at = 1.0
    letter = PendingLetter(
        record=record,
        ledger=ledger,
        reason=DeadLetterReason.REJECTED_400,
        stage=Stage.DELIVER,
        detail="refused",
        error_class="Refused",
        http_status=400,
        opened=opened,
    )
    composer = Composer(integration="i", destination="d", instance=1, mapping_version="1")
    written = composer.compose(letter, COMPLETE, now=1.0)
    assert {name for name, _ in written.headers} == DEAD_LETTER_HEADERS.keys()
