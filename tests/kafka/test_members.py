"""What a coordinator's answer says of the members of a group, however odd it is."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import NodeNotReadyError

from streamer.core.errors import UnavailableError
from streamer.kafka.members import MAX_MEMBERS, members

TWO = ConsumerProtocolMemberAssignment(0, [("surveys", [0, 1])], b"").encode()


def member(member_id: str, host: str = "/10.0.0.7", assignment: bytes = TWO) -> tuple[Any, ...]:
    return member_id, "streamer", host, b"", assignment


def consumer(answer: Any, *, coordinator: int | None = 1) -> Any:
    """A client whose coordinator gives this answer."""

    async def send(node: int, _request: object) -> Any:
        assert node == coordinator
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            await asyncio.get_running_loop().create_future()
        return answer

    return SimpleNamespace(
        _coordinator=SimpleNamespace(coordinator_id=coordinator, member_id="ours"), _client=SimpleNamespace(send=send)
    )


def answer(*found: tuple[Any, ...], code: int = 0) -> Any:
    return SimpleNamespace(groups=[(code, "group", "Stable", "consumer", "range", list(found), 0)])


async def test_this_process_comes_first_and_hosts_have_no_slash() -> None:
    told = await members(consumer(answer(member("a", "/10.0.0.1"), member("ours"))), "group", timeout_seconds=1)
    assert [(each.host, each.partitions, each.is_this) for each in told] == [
        ("10.0.0.7", 2, True),
        ("10.0.0.1", 2, False),
    ]


@pytest.mark.parametrize("assignment", [b"", b"\x00", b"nonsense" * 9, b"\xff" * 40])
async def test_an_assignment_that_cannot_be_read_has_no_partitions(assignment: bytes) -> None:
    [told] = await members(consumer(answer(member("ours", assignment=assignment))), "group", timeout_seconds=1)
    assert told.partitions == 0


async def test_so_many_and_no_more_are_told_with_this_one() -> None:
    many = [member(f"m{number}", f"/10.0.{number}.1") for number in range(200)]
    told = await members(consumer(answer(*many, member("ours", "/99.0.0.1"))), "group", timeout_seconds=1)
    assert len(told) == MAX_MEMBERS
    assert told[0].is_this


@pytest.mark.parametrize(
    "client",
    [
        consumer(answer(code=30)),
        consumer(NodeNotReadyError()),
        consumer(None),
        consumer(answer(), coordinator=None),
    ],
    ids=["no right", "not connected", "no answer", "no coordinator"],
)
async def test_without_an_answer_there_is_one_kind_of_error(client: Any) -> None:
    with pytest.raises(UnavailableError):
        await members(client, "group", timeout_seconds=0.01)
