"""What a schema says of the place that a detail names."""

import pytest

from streamer.core.mapping.contract import Contract, read_schema
from streamer.core.mapping.sentence import sentence_of

SPRIG = "(sprig_stream.schema.json)"


def test_a_real_detail_leads_to_its_sentence() -> None:
    detail = Contract("sprig_stream").explain_breach({"surveyId": "s", "createdAt": 3}, 20)
    described = read_schema("sprig_stream")["properties"]
    place = detail.split(":")[0]
    assert sentence_of(detail) == described[place.removeprefix("/")]["description"]


@pytest.mark.parametrize("index", ["0", "17", "*"])
def test_an_index_leads_into_a_list(index: str) -> None:
    detail = f"/context/identities/{index}/type: expected a string, found nothing (getuserfeedback_event.schema.json)"
    assert sentence_of(detail)


@pytest.mark.parametrize(
    ("detail", "sentence"),
    [
        ("", ""),
        (f"/nowhere/at/all: expected x, found y {SPRIG}", read_schema("sprig_stream")["description"]),
        (f"the record: expected an object, found a string {SPRIG}", read_schema("sprig_stream")["description"]),
        (f"nothing that we know {SPRIG}", ""),
        ("/surveyId: expected a string, found nothing", ""),
        ("/surveyId: expected a string, found nothing (absent.schema.json)", ""),
        ("/surveyId: expected a string, found nothing (../secrets.schema.json)", ""),
        ("/a" * 400 + f": expected x, found y {SPRIG}", ""),
    ],
)
def test_what_no_schema_describes_has_no_sentence_of_its_own(detail: str, sentence: str) -> None:
    """Of a place that the schema does not know, the part around it is described."""
    assert sentence_of(detail) == sentence


def test_the_first_fault_and_a_shared_verdict_lead_there_too() -> None:
    first = "/surveyId: expected a string, found nothing; /question: expected a string, found nothing"
    sentence = read_schema("sprig_stream")["properties"]["surveyId"]["description"]
    assert sentence_of(f"{first} {SPRIG}") == sentence
    assert sentence_of(f"not sent, because an earlier record made the same call: {first} {SPRIG}") == sentence
