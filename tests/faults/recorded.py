"""A deployment with everything on record for the oracle over commits, and the mixed events that go through it."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streamer.devkit.sandbox.faults import Action, Fault, Match
from tests.conftest import connected_admin
from tests.faults.history import Commit, read_commits
from tests.faults.oracle import History, read_receptions
from tests.service.harness import Deployment, survey_event

MAX_MARKED: Final = 5_000
"""Most events of one kind that the sandbox can be told to answer in their own way."""


def marked(kind: str) -> Match:
    """Requests that carry an event of this kind of `MixedEvents`."""
    return Match(message_ids=frozenset(f"{kind}_{number}" for number in range(MAX_MARKED)))


POISON: Final = Fault(match=marked("poison"), action=Action(status=400))
"""Refuses what `MixedEvents` calls poison, with all that travels with it."""


class MixedEvents:
    """Events as they come in bad times: good ones, copies, tombstones, broken ones, and some the sandbox may refuse."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._made: dict[str, int] = {}
        self._kinds: dict[Callable[[], bytes | None], float] = {
            lambda: self._new("good"): 0.90,
            self._copy: 0.03,
            lambda: None: 0.02,
            lambda: survey_event("broken")[:-1]: 0.02,
            lambda: self._new("ill"): 0.02,
            lambda: self._new("poison"): 0.01,
        }

    def take(self, count: int) -> list[bytes | None]:
        """So many record values, about nine in ten of them good."""
        makers = self._chance.choices(list(self._kinds), list(self._kinds.values()), k=count)
        return [make() for make in makers]

    def _new(self, kind: str) -> bytes:
        number = self._made.get(kind, 0)
        if number >= MAX_MARKED and kind != "good":
            return self._new("good")
        self._made[kind] = number + 1
        return survey_event(f"{kind}_{number}")

    def _copy(self) -> bytes:
        return survey_event(f"good_{self._chance.randrange(max(self._made.get('good', 0), 1))}")


class Recorder:
    """Where the logs of a deployment's one integration are."""

    def __init__(self, deployment: Deployment, bootstrap_servers: str, received: Path) -> None:
        """Take note.

        Args:
            deployment: what is looked at.
            bootstrap_servers: its broker.
            received: the record file of its sandbox.
        """
        self._deployment = deployment
        self._bootstrap_servers = bootstrap_servers
        self._received = received

    async def integrate(self, *, partitions: int) -> str:
        """Configure the integration; the broker notes in its dead letters when it took them. Returns the topic."""
        [topic] = await self._deployment.integrate(partitions=partitions)
        await self._note_times(f"{topic}.dlq")
        return topic

    async def integrate_also(self, topic: str) -> None:
        """Have the integration read one more topic, which somebody makes; its dead letters have a topic from now on."""
        await self._deployment.make_topics([f"{topic}.dlq"])
        await self._note_times(f"{topic}.dlq")
        self._deployment.integration("surveys")["topics"].append(topic)

    async def _note_times(self, topic: str) -> None:
        times = {"message.timestamp.type": "LogAppendTime"}
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=times)
        async with connected_admin(self._bootstrap_servers) as admin:
            await admin.alter_configs([resource])

    async def commits(self) -> list[Commit]:
        """All that the integration's group has stored by now."""
        return await read_commits(self._bootstrap_servers, self._deployment.integration("surveys")["group_id"])

    async def history(self, kills: Sequence[float] | None = None) -> History:
        """All that is on record by now; ``kills`` as in `History`."""
        return History(
            evidence=await self._deployment.evidence(),
            commits=await self.commits(),
            receptions=read_receptions(self._received),
            kills=kills,
        )
