"""``streamer init``: what it writes is a configuration without faults."""

import re
from pathlib import Path

import pytest

from streamer.__main__ import main
from streamer.cli.init import DIALECTS, first_configuration

MAIN_DIALECTS = ["sprig", "product_fruits", "getuserfeedback"]


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEGMENT_WRITE_KEY", "write_key_of_the_test_0000000001")
    monkeypatch.setenv("SEGMENT_WEBHOOK_SECRET", "the secret of the test")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("more", [[], ["--inbound"]], ids=["there", "and back"])
@pytest.mark.parametrize("dialects", [[], *([dialect] for dialect in DIALECTS), list(DIALECTS)], ids=str)
def test_check_accepts_it_without_a_warning(
    dialects: list[str], more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    options = [word for dialect in dialects for word in ("--dialect", dialect)]
    assert main(["init", *options, *more, "--output", "new.yaml"]) == 0
    capsys.readouterr()

    assert main(["check", "--config", "new.yaml"]) == 0
    summary, warnings = capsys.readouterr()
    assert warnings == ""
    assert re.findall(r"^\S+: \S+ \((\w+)\)", summary, re.MULTILINE) == (dialects or MAIN_DIALECTS)
    assert ("inbound: " in summary) == bool(more)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_its_comments_suggest_is_valid_too(dialect: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = first_configuration([dialect], inbound=True, path=Path("new.yaml"))
    text = re.sub(r"rename: \{\} +# such as (.*)", r"rename: \1", text)
    text = re.sub(r"^( *)#(?=\S)", r"\1", text, flags=re.MULTILINE).replace("    region: us", "    #region: us")
    Path("new.yaml").write_text(text)

    assert main(["check", "--config", "new.yaml"]) == 0
    assert capsys.readouterr().err == ""


def test_it_prints_the_configuration_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--dialect", "sprig"]) == 0
    expected = first_configuration(["sprig"], inbound=False, path=Path("streamer.yaml"))
    assert capsys.readouterr() == (expected, "")


def test_a_file_that_exists_is_left_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Path("old.yaml").write_text("mine\n")
    assert main(["init", "--output", "old.yaml"]) == 1
    assert Path("old.yaml").read_text() == "mine\n"
    assert "--force replaces it" in capsys.readouterr().err

    assert main(["init", "--output", "old.yaml", "--force"]) == 0
    assert Path("old.yaml").read_text().startswith("# streamer's configuration")


def test_a_place_that_cannot_be_written_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--output", "nowhere/new.yaml"]) == 1
    assert capsys.readouterr().err == "streamer: nowhere/new.yaml cannot be written: No such file or directory\n"
