"""A changed configuration while events flow: nothing is lost, nothing is sent twice, and nobody else is interrupted."""

from typing import Final

import orjson
import pytest
from structlog.testing import capture_logs

from tests.faults.traffic import repeated
from tests.service.harness import Deployment, eventually, pipeline_of, survey_events

pytestmark = pytest.mark.kafka

PACE_SECONDS: Final = 0.1
BATCH: Final = 50
"""500 events a second."""
NEW_NAME: Final = "Survey Answered"


class Arrivals:
    """Under which name each event arrived."""

    def __init__(self, deployment: Deployment) -> None:
        self.names: dict[str, str] = {}
        """By messageId."""
        self._record = deployment.sandbox.record
        self._seen = 0

    def look(self) -> None:
        """Call this often: the sandbox keeps the latest ones only."""
        kept = list(self._record.kept(after=self._seen))
        for one in kept:
            assert one.body is not None
            call = orjson.loads(one.body)
            self.names[call["messageId"]] = call["event"]
        self._seen = max((one.number for one in kept), default=self._seen)


async def test_events_are_renamed_and_an_integration_restarts_while_events_flow(deployment: Deployment) -> None:
    [topic] = await deployment.integrate()
    [other] = await deployment.integrate("other")
    produced: list[str] = []
    arrivals = Arrivals(deployment)

    async def produce(number: int) -> None:
        for prefix, to in ((f"evt_{number}", topic), (f"other_{number}", other)):
            await deployment.produce(to, survey_events(BATCH // 2, prefix))
        produced.append(f"evt_{number}_")
        arrivals.look()

    with capture_logs() as lines:
        async with deployment.running(follows_file=True) as service:
            await eventually(lambda: all(one.runner.has_started for one in service.integrations.values()))
            first = {name: pipeline_of(service, name) for name in ("surveys", "other")}
            await eventually(lambda: all(one.assignment.is_restored for one in first.values()))
            ledgers = dict(first["surveys"].assignment.ledgers)
            async with repeated(produce, PACE_SECONDS):
                await eventually(lambda: len(produced) >= 5)
                deployment.integration("surveys")["events"] = {"rename": {"Response Submitted": NEW_NAME}}
                deployment.write_configuration()  # nobody is told
                await eventually(lambda: [line for line in lines if line["event"] == "config.reloaded"])
                renamed_before = len(produced) + 1
                await eventually(lambda: len(produced) >= renamed_before + 5)
                deployment.integration("other")["limits"] = {"max_open_records": 5_000}
                deployment.write_configuration()
                await service.reloader.reload()
                await eventually(lambda: pipeline_of(service, "other") is not first["other"])
                restarted_at = len(produced)
                await eventually(lambda: len(produced) >= restarted_at + 5)
                deployment.integration("other")["dialect"] = "unknown"
                deployment.write_configuration()
                await service.reloader.reload()
                deployment.integration("other")["dialect"] = "getuserfeedback"
            await deployment.settled()
            assert pipeline_of(service) is first["surveys"]
            assert first["surveys"].assignment.ledgers == ledgers
            assert [service.integrations[name].runner.rebalances()["assigned"] for name in first] == [1, 2]
            assert service.destinations["segment"].status.requests.total() > 0

    await deployment.verify()
    arrivals.look()
    after = [
        name for message_id, name in arrivals.names.items() if message_id.startswith(tuple(produced[renamed_before:]))
    ]
    assert len(after) == BATCH // 2 * len(produced[renamed_before:])
    assert set(after) == {NEW_NAME}
    assert {name for message_id, name in arrivals.names.items() if message_id.startswith(("evt_0_", "other_"))} == {
        "Response Submitted"
    }
    [rejected] = [line for line in lines if line["event"] == "config.rejected"]
    assert "integrations.other.dialect" in rejected["detail"]
    reloaded = [line for line in lines if line["event"] == "config.reloaded"]
    assert [line.get("restarted") for line in reloaded] == [None, "other"]
