"""`streamer audit` says the same as the oracle, which knows what went in and what came out; and it finds a loss."""

import asyncio
import signal
import sys
import time
from typing import Any

import orjson
import pytest

from streamer.core.audit import Doubt, End
from streamer.devkit.sandbox.faults import Action, Fault, Match
from streamer.kafka.topic_reader import TopicReader
from streamer.operations.audit import Result, audit
from streamer.operations.instances import Instances
from tests.service import oracle
from tests.service.harness import Deployment, eventually, survey_event, survey_events

pytestmark = pytest.mark.kafka

EVENTS = 600


async def command(deployment: Deployment, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run a command; returns its exit code, the lines that it prints, and what it tells people."""
    config = str(deployment.directory / "streamer.yaml")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streamer", *arguments, "--config", config),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, [orjson.loads(line) for line in output.splitlines()], errors.decode()


async def audited(deployment: Deployment) -> Result:
    """What the command finds, without a process of its own."""
    settings = deployment.settings()
    async with TopicReader(settings.kafka) as reader, Instances.open(settings) as instances:
        return await audit(
            settings, reader, instances, ["surveys"], since=0.0, until=time.time(), on_progress=lambda *_: None
        )


def totals(result: Result) -> dict[str, int]:
    """The sums of all partitions."""
    return {end.value: sum(counts[end] for _, counts in result.audits["surveys"].tally.rows()) for end in End}


async def said_by_oracle(deployment: Deployment) -> dict[str, int]:
    """How the records ended, by what came out."""
    evidence = await deployment.evidence()
    letters: dict[oracle.Place, list[Any]] = {}
    for letter in evidence.dead_letters:
        letters.setdefault(oracle.source_of(letter), []).append(letter)
    ends = oracle._Ends()
    assert not list(oracle._faults_of_records(evidence, letters, ends, is_over=False))
    return {
        "delivered": len(ends.delivered),
        "duplicate": ends.duplicate,
        "filtered": ends.filtered.total(),
        "dead_lettered": ends.dead_lettered.total(),
    }


async def audited_when_one_is_open(deployment: Deployment) -> Result:
    """Audit until all is settled and committed but the event that fails."""
    async with asyncio.timeout(40):
        while True:
            result = await audited(deployment)
            found = totals(result)
            assert not result.audits["surveys"].tally.unaccounted  # at no time, also while streamer runs
            if (found["open"], found["waiting"]) == (1, 0):
                return result
            await asyncio.sleep(0.2)


async def test_the_audit_agrees_with_the_oracle_and_names_what_is_lost(deployment: Deployment) -> None:
    """Duplicates, filtered and refused records, one that fails for long, and a kill in the middle; then a real loss."""
    deployment.document["kafka"]["session_timeout_ms"] = 1_500
    deployment.destination["batch"] = {"max_calls": 20, "linger": 0.01}
    deployment.destination["max_in_flight"] = 3
    deployment.destination["retry"] = {"quick": ["1ms"], "schedule": ["1h"] * 9}  # a restart tries it once more
    [topic] = await deployment.integrate(events={"disabled": ["Flow Viewed"]})
    deployment.sandbox.faults.set(
        Fault(match=Match(message_ids=frozenset({"evt_17"})), action=Action(status=400)),
        Fault(match=Match(message_ids=frozenset({"evt_40"})), action=Action(status=500)),
        Fault(action=Action(latency_seconds=0.2)),
    )
    disabled = survey_event("disabled").replace(b"Response Submitted", b"Flow Viewed")
    killed = await deployment.start_process()
    await killed.url()  # what is older than its receipts could not be proved
    await deployment.produce(
        topic, [*survey_events(EVENTS), disabled, None, b"not JSON", *survey_events(30), disabled, b"{}"]
    )

    await deployment.commits_beyond(100)
    await killed.kill()
    process = await deployment.start_process()
    await process.url()
    found = totals(await audited_when_one_is_open(deployment))
    assert found["not_provable"] == 0
    said = await said_by_oracle(deployment)
    assert said == {name: found[name] for name in said}

    process.send(signal.SIGTERM)
    assert await process.wait() == 0
    result = await audited(deployment)
    assert totals(result)["unaccounted"] == 0, "without receipts, a delivery cannot be proved or denied"
    assert result.audits["surveys"].tally.doubts == {Doubt.RECEIPTS_GONE: said["delivered"] + said["duplicate"]}

    # Somebody sets the positions behind records that nobody has delivered: theirs is no outcome.
    await deployment.produce(topic, [survey_event("evt_lost")], partition=1)
    await deployment.reset_positions(topic, to=await deployment.log_end(topic, 1))
    process = await deployment.start_process()
    await eventually(lambda: process.log_events("partition.assigned"))
    code, lines, errors = await command(deployment, "audit", "--from", "1h")
    named = [line["message_id"] for line in lines if line["kind"] == "unaccounted"]
    assert (code, sorted(named)) == (1, ["evt_40", "evt_lost"]), errors
