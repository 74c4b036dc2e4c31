"""Who is in the group: asked beside all that matters, and never in its way."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from streamer.core.records.group_member import GroupMember
from tests.pipeline.engine import TOPIC, Engine, HandWorker, eventually


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path)


async def test_members_come_and_go(engine: Engine) -> None:
    async with engine.running() as first:
        await eventually(lambda: first.members.latest == [GroupMember("streamer", "memory", 2, is_this=True)])
        async with engine.running(instance="two"):
            await eventually(lambda: len(first.members.latest) == 2)
            assert [member.is_this for member in first.members.latest] == [True, False]
        await eventually(lambda: len(first.members.latest) == 1)


async def test_while_no_broker_answers_there_are_none_and_the_pipeline_goes_on(engine: Engine) -> None:
    engine.cluster.append(TOPIC, [b"0"])
    with capture_logs() as lines:
        async with engine.running() as pipeline:
            await eventually(lambda: pipeline.members.latest)
            engine.cluster.is_away = True
            await eventually(lambda: not pipeline.members.latest)
            engine.cluster.is_away = False
            await eventually(lambda: pipeline.members.latest)
            hand = pipeline.worker
            assert isinstance(hand, HandWorker)
            await eventually(lambda: hand.open)
    assert "observer.failed" not in [line["event"] for line in lines]


async def test_an_answer_that_nobody_expected_ends_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(**_: float) -> list[GroupMember]:
        raise RuntimeError("planted")

    with capture_logs() as lines:
        async with engine.running() as pipeline:
            monkeypatch.setattr(pipeline.source, "members", broken)
            await eventually(lambda: any(line["event"] == "observer.failed" for line in lines))
            assert pipeline.is_connected
