"""``streamer users`` on a SQLite file; tests/directory/test_transfer.py holds both databases to the same."""

import json
import sys
from pathlib import Path

import pytest

from streamer.__main__ import main

CONFIG = """\
kafka: {{bootstrap_servers: "127.0.0.1:1"}}
inbound: {{webhooks: {{production: {{secrets: [secret]}}}}}}
directory: {{url: "sqlite:///{directory}/directory.db"}}
"""
LINE = (
    '{"username":"ben","email":"ben@x.com","firstname":null,"lastname":null,'
    '"anonymousIds":["d"],"attributes":{"plan":"Free"},"redirects":["old"]}\n'
)


class Users:
    """Runs subcommands; each needs ``--config``."""

    def __init__(self, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self._capfd = capfd
        self.config = home / "streamer.yaml"
        self.config.write_text(CONFIG.format(directory=home))

    def __call__(self, command: str, *args: str) -> tuple[int, str, str]:
        code = main(["users", command, "--config", str(self.config), *args])
        out, err = self._capfd.readouterr()
        return code, out, err

    def file(self, text: str) -> str:
        path = self.home / "users.jsonl"
        path.write_text(text, encoding="utf-8")
        return str(path)


@pytest.fixture
def users(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Users:
    return Users(tmp_path, capfd)


@pytest.fixture
def ben(users: Users) -> Users:
    assert users("import", users.file(LINE))[0] == 0
    return users


def test_an_import_comes_out_again(users: Users) -> None:
    """Into a database that nobody has made yet."""
    code, out, err = users("import", users.file(LINE))
    assert (code, out) == (0, "")
    # The log has a writer of its own, so its lines may come before or after.
    assert "streamer: 1 users and 0 devices without a user are imported\n" in err
    assert "users.imported" in err

    assert users("export") == (0, LINE, "")
    code, out, _ = users("export", "--times")
    assert code == 0
    assert json.loads(out)["times"]["revision"] == 1


def test_a_file_with_faults_is_not_imported(ben: Users) -> None:
    code, out, err = ben("import", ben.file('{"username":"eve"}\n{"username":"eve","emial":"hunter2"}\n'))
    assert (code, out) == (1, "")
    assert "nothing was imported" in err
    assert "line 2: a key is unknown" in err
    assert "hunter2" not in err
    assert ben("export")[1] == LINE
    assert ben("import", str(ben.home / "nowhere"))[0] == 1


def test_replacing_needs_execute(ben: Users) -> None:
    file = ben.file('{"username":"eve"}\n')
    code, _, err = ben("import", file, "--replace")
    assert code == 0
    assert "nothing was changed; --execute deletes 1 users and 1 devices" in err
    assert ben("export")[1] == LINE

    assert ben("import", file, "--replace", "--execute")[0] == 0
    assert [json.loads(line)["username"] for line in ben("export")[1].splitlines()] == ["eve"]


def test_somebody_is_found(ben: Users) -> None:
    for args in (("--email", "BEN@x.com"), ("--user-id", "old"), ("--anonymous-id", "d")):
        code, out, err = ben("find", *args)
        assert (code, err) == (0, "")
        assert json.loads(out) == {
            "username": "ben",
            "email": "ben@x.com",
            "firstname": "",
            "lastname": "",
            "attributes": 1,
            "devices": 1,
            "redirects": 1,
            "changed": "",
        }
    assert "ben@x.com" in ben("find", "--user-id", "ben", "-o", "table")[1]
    assert ben("find", "--user-id", "nobody") == (1, "", "streamer: no user was found\n")


def test_somebody_is_shown(ben: Users) -> None:
    code, out, _ = ben("show", "old")
    assert code == 0
    assert json.loads(out)["attributes"] == {"plan": "Free"}
    assert ben("show", "nobody") == (1, "", "streamer: there is no such user\n")


def test_forgetting_needs_execute(ben: Users) -> None:
    code, _, err = ben("forget", "ben")
    assert (code, err) == (
        0,
        "streamer: nothing was deleted; --execute deletes the user with 1 devices, 1 old names\n",
    )
    assert ben("export")[1] == LINE
    code, _, err = ben("forget", "ben", "--execute")
    assert code == 0
    assert "user.forgotten" in err
    assert ben("export")[1] == ""
    assert ben("forget", "ben", "--execute")[0] == 1


def test_a_database_that_is_away_ends_with_69(users: Users) -> None:
    code, out, err = users("export")
    assert (code, out) == (69, "")
    assert "no_such_database" in err
    users.config.write_text(
        users.config.read_text().replace(f"sqlite:///{users.home}/directory.db", "postgresql://u:hunter2@127.0.0.1:1/x")
    )
    code, _, err = users("find", "--email", "ben@x.com")
    assert code == 69
    assert "unreachable" in err
    assert "hunter2" not in err


def test_a_configuration_without_directory_ends_with_78(users: Users) -> None:
    users.config.write_text(CONFIG.format(directory=users.home).partition("directory:")[0] + "directory: false\n")
    code, _, err = users("export")
    assert code == 78
    assert "needs both sections" in err


def test_without_the_extra_the_configuration_says_what_to_install(
    users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    code, _, err = users("export")
    assert code == 78
    assert "pip install 'survey-streamer[inbound]'" in err


@pytest.mark.parametrize("url", ["mysql://u:hunter2@h/d", "directory.db"])
def test_an_address_of_another_kind_ends_with_78(users: Users, url: str) -> None:
    users.config.write_text(users.config.read_text().replace(f"sqlite:///{users.home}/directory.db", url))
    code, _, err = users("export")
    assert code == 78
    assert "should be sqlite:///" in err
    assert "hunter2" not in err
