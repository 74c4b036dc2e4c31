from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, GroupCoordinatorNotAvailableError, KafkaConnectionError

from streamer.core.errors import UnavailableError
from streamer.kafka import rights as kafka_rights
from streamer.settings import KafkaSettings

KAFKA = KafkaSettings(bootstrap_servers="broker:9092")


class ScriptedAdmin:
    """An admin client that answers each question for a coordinator with the next of a script's errors, or well."""

    def __init__(self, script: dict[str, list[Exception]]) -> None:
        self.script = script
        self.is_closed = False

    def __call__(self, **_options: Any) -> "ScriptedAdmin":
        return self

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        self.is_closed = True

    async def find_coordinator(self, group: str) -> int:
        if self.script.get(group):
            raise self.script[group].pop(0)
        return 1


def replace_admin(monkeypatch: pytest.MonkeyPatch, script: dict[str, list[Exception]]) -> ScriptedAdmin:
    admin = ScriptedAdmin(script)
    monkeypatch.setattr(kafka_rights, "AIOKafkaAdminClient", admin)
    monkeypatch.setattr(kafka_rights, "keep_whole", lambda _admin: None)  # there is no connection to keep
    return admin


async def test_closed_groups_are_told_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    admin = replace_admin(
        monkeypatch, {"c": [GroupAuthorizationFailedError("c")], "a": [GroupAuthorizationFailedError("a")]}
    )
    assert await kafka_rights.forbidden_groups(KAFKA, ["c", "b", "a"]) == ["a", "c"]
    assert admin.is_closed


async def test_a_coordinator_that_is_not_there_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a young cluster the first question makes the topic that the answer comes from."""
    admin = replace_admin(monkeypatch, {"a": [GroupCoordinatorNotAvailableError("a") for _ in range(3)]})
    assert await kafka_rights.forbidden_groups(KAFKA, ["a"], retry_seconds=0) == []
    assert admin.script == {"a": []}


async def test_brokers_that_cannot_be_asked_are_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = KafkaConnectionError("closed")
    lost.retriable = False
    admin = replace_admin(monkeypatch, {"a": [lost]})
    with pytest.raises(UnavailableError, match="the connection failed"):
        await kafka_rights.forbidden_groups(KAFKA, ["a"])
    assert admin.is_closed
