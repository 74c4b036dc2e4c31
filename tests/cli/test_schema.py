"""``streamer schema`` and ``streamer asyncapi``: what they print, and what they say when they cannot."""

import json
from pathlib import Path

import pytest
import yaml

from streamer.__main__ import main
from streamer.core.describing.topic_schema import file_name, names

CONFIG = """
kafka: {bootstrap_servers: "b1:9092,b2:9092", security_protocol: SASL_SSL, sasl_mechanism: SCRAM-SHA-512,
        sasl_plain_username: u, sasl_plain_password: p}
destinations: {segment: {write_key: key}}
integrations:
  web: {dialect: sprig, topics: [surveys.web], destination: segment, sprig: {answer_event_types: [REPLY]}}
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "streamer.yaml"
    path.write_text(CONFIG)
    return str(path)


def printed(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(argv) == 0
    return capsys.readouterr().out


def test_the_list_names_every_schema(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [json.loads(line) for line in printed(capsys, "schema").splitlines()]
    assert [row["name"] for row in rows] == [*names(), "config"]
    for row in rows[:-1]:
        assert json.loads(printed(capsys, "schema", row["id"]))["$id"] == row["id"]


def test_a_dialect_with_its_forms_and_with_settings_of_an_integration(
    capsys: pytest.CaptureFixture[str], config: str
) -> None:
    plain = printed(capsys, "schema", "sprig")
    bundle = json.loads(printed(capsys, "schema", "sprig", "--bundle"))
    own = printed(capsys, "schema", "sprig", "--config", config, "--integration", "web")
    assert "$defs" not in json.loads(plain)
    assert len(bundle["$defs"]) == 4
    assert plain != own


def test_the_schema_of_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert "kafka" in json.loads(printed(capsys, "schema", "config"))["properties"]


def test_all_schemas_as_files_under_an_address(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    printed(capsys, "schema", "--out", str(tmp_path / "out"), "--base", "https://schemas.example.com/s/")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(map(file_name, names()))
    for name in names():
        schema = json.loads((tmp_path / "out" / file_name(name)).read_text())
        assert schema["$id"] == f"https://schemas.example.com/s/{file_name(name)}"


def test_what_does_not_exist(capsys: pytest.CaptureFixture[str], config: str, tmp_path: Path) -> None:
    assert main(["schema", "sprigg"]) == 2
    assert "there is no schema sprigg; there are sprig," in capsys.readouterr().err
    assert main(["schema", "sprig", "--config", config, "--integration", "shop"]) == 2
    assert "has no integration shop; it has web" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["schema", "--out", str(tmp_path / "file")]) == 1
    assert "choose a directory" in capsys.readouterr().err


def test_the_document_of_a_configuration(capsys: pytest.CaptureFixture[str], config: str) -> None:
    text = printed(capsys, "asyncapi", "--config", config, "--title", "Web surveys")
    document = yaml.safe_load(text)
    assert document["info"]["title"] == "Web surveys"
    assert [server["host"] for server in document["servers"].values()] == ["b1:9092", "b2:9092"]
    assert document["components"]["securitySchemes"] == {"scramSha512": {"type": "scramSha512"}}
    assert list(document["channels"]) == ["surveys.web", "surveys.web.dlq"]
    assert (
        json.loads(printed(capsys, "asyncapi", "--config", config, "--title", "Web surveys", "-o", "json")) == document
    )


def test_the_document_of_the_dialects_needs_no_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert "address: null" in printed(capsys, "asyncapi", "--dialects")
