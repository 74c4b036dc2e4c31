"""A changed configuration in a running service: who restarts, who does not notice, and what goes on counting."""

import asyncio
import time
from pathlib import Path
from threading import get_ident
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamer import changing
from streamer.core.errors import SettingsError
from streamer.core.steering.order import Order, encode
from streamer.inbound.applying import Applier
from streamer.integration import Integration
from streamer.service_view import ServiceView
from streamer.status.metrics import Metrics
from tests.pipeline.engine import eventually
from tests.reloading.ground import Ground

NEW_NAME = "Survey Answered"


async def test_an_event_is_renamed_without_a_rebalance(ground: Ground) -> None:
    async with ground.running():
        before = ground.pipelines()
        ground.produce("one", "evt_1")
        await ground.delivered("one")
        ground.integration("one")["events"] = {"rename": {"Response Submitted": NEW_NAME}}
        await ground.reload()
        ground.produce("one", "evt_2", "evt_1")
        ground.produce("two", "evt_3")
        await ground.delivered("one")
        await ground.delivered("two")
        assert ground.pipelines() == before, "nothing has restarted"
        assert ground.totals("one").duplicate == 1, "the messageId is the same under another name"
    assert ground.events("shared") == {"evt_1": "Response Submitted", "evt_2": NEW_NAME, "evt_3": "Response Submitted"}
    assert sorted(ground.taken("shared")) == ["evt_1", "evt_2", "evt_3"]
    [line] = ground.told("config.reloaded")
    assert line["changed"] == "integrations.one.events.rename"
    assert "restarted" not in line


async def test_an_integration_restarts_and_the_others_do_not_notice(ground: Ground) -> None:
    async with ground.running():
        before = ground.pipelines()
        for name in before:
            ground.produce(name, f"{name}_1")
            await ground.delivered(name)
        counted = ground.service.integrations["one"].runner.commits()
        ground.integration("one")["limits"] = {"max_open_records": 5_000}
        await ground.reload()
        await eventually(lambda: ground.is_reading("one"))
        for name in before:
            ground.produce(name, f"{name}_2", f"{name}_1")
            await ground.delivered(name)
        after = ground.pipelines()
        assert {name for name in before if after[name] is not before[name]} == {"one"}
        assert [ground.rebalances(name) for name in before] == [2, 1, 1]
        assert after["one"].custody.load.max_records == 5_000
        for name in before:
            assert ground.totals(name).delivered == 2, "what was counted before the restart counts on"
            assert ground.totals(name).duplicate == 1, "and receipts outlive it"
        assert ground.service.integrations["one"].latency_seconds["one"].count == 2
        commits = ground.service.integrations["one"].runner.commits()
        assert all(commits[result] >= count for result, count in counted.items())
        assert ground.service.integrations["one"].runner.restarts == 0, "it did not fail"
    assert [len(receivers) for receivers in ground.receivers.values()] == [1, 1]
    assert ground.told("config.reloaded")[0]["restarted"] == "one"


async def test_an_integration_drains_before_its_successor_starts(ground: Ground) -> None:
    async with ground.running():
        [receiver] = ground.receivers["own"]
        receiver.may_answer.clear()
        ground.produce("three", "evt_1")
        await eventually(lambda: receiver.events)
        first = ground.pipelines()["three"]
        ground.integration("three")["limits"] = {"max_open_records": 5_000}
        reloading = asyncio.create_task(ground.reload())
        await eventually(lambda: ground.told("drain.started"))
        ground.produce("one", "evt_2")
        await ground.delivered("one")
        assert ground.pipelines()["three"] is first
        assert not reloading.done()
        receiver.may_answer.set()
        await reloading
        await ground.delivered("three")
        await eventually(lambda: ground.pipelines()["three"] is not first)
    assert ground.taken("own") == ["evt_1"]
    assert ground.totals("three").handed_back == 0


async def test_a_shared_destination_is_replaced_for_all_its_integrations(ground: Ground) -> None:
    async with ground.running() as service:
        before = ground.pipelines()
        ground.produce("one", "evt_1")
        await ground.delivered("one")
        ground.destination("shared")["write_key"] = "key-3"
        await ground.reload()
        ground.produce("one", "evt_2", "evt_1")
        ground.produce("two", "evt_3")
        await ground.delivered("one")
        await ground.delivered("two")
        former, present = ground.receivers["shared"]
        assert former.is_closed
        assert not present.is_closed
        assert present.taken == ["evt_2", "evt_1", "evt_3"], "what went to another source proves nothing there"
        assert service.destinations["shared"].status.requests["200"] == len(former.batches) + len(present.batches)
        after = ground.pipelines()
        assert {name for name in before if after[name] is not before[name]} == {"one", "two"}
    assert len(ground.receivers["own"]) == 1
    [line] = ground.told("config.reloaded")
    assert line["changed"] == "destinations.shared.write_key"
    assert "key-3" not in str(ground.lines)


async def test_what_is_added_begins_and_what_is_removed_leaves(ground: Ground) -> None:
    async with ground.running() as service:
        untouched = ground.pipelines()["two"]
        ground.produce("three", "evt_1")
        await ground.delivered("three")
        removed, section = service.integrations["three"], ground.document["integrations"].pop("three")
        ground.document["destinations"].pop("own")
        ground.destination("new")["write_key"] = "key-4"
        ground.integration("four").update(section, topics=["four"], destination="new")
        await ground.reload()
        await eventually(lambda: ground.is_reading("four"))
        ground.produce("four", "evt_2")
        await ground.delivered("four")
        status = ServiceView(service).status()
        assert [one.name for one in status.integrations] == ["one", "two", "four"]
        assert [one.name for one in status.destinations] == ["shared", "new"]
        body, _ = Metrics(ServiceView(service).status).render("")
        assert b'"three"' not in body
        assert b'"own"' not in body
        assert ground.pipelines()["two"] is untouched
        assert removed.runner.totals().adds_up()
        assert not removed.receipts.available
        ground.integration("three").update(section, destination="new")
        await ground.reload()
        ground.produce("three", "evt_1", "evt_3")
        await ground.delivered("three")
        assert ground.totals("three").delivered == 2, "to another destination, so the old receipt proves nothing"
    assert not ground.told("config.rejected")


async def test_a_guarded_integration_that_is_mapped_otherwise_reads_again_what_it_holds(ground: Ground) -> None:
    """A wrong mapping may be why it was stopped, so a corrected one lets it go on, with the records that it holds."""
    async with ground.running() as service:
        service.integrations["one"].runner.pipeline.dead_letters.guard()  # type: ignore[union-attr]
        first = ground.pipelines()["one"]
        ground.integration("one")["events"] = {"rename": {"Response Submitted": NEW_NAME}}
        await ground.reload()
        await eventually(lambda: ground.pipelines()["one"] is not first)
        assert not service.integrations["one"].is_guarded


async def test_the_loop_guard_knows_new_names_at_once_and_former_ones_still(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or streamer would publish its own events as triggers; what was sent under the former name may come back yet."""
    monkeypatch.setattr("streamer.inbound.keeper.Brokers", lambda *_, **__: ground.brokers)
    for topic in ("segment.inbound", "segment.inbound.dlq"):
        ground.cluster.create(topic)
    ground.document |= {"inbound": {"listen": False}, "directory": {"url": f"sqlite:///{tmp_path}/users.db"}}
    ground.integration("one")["events"] = {"rename": {"Response Submitted": "Former Name"}}
    async with ground.running() as service:
        assert service.inbound is not None
        assert service.inbound.keeper is not None
        runner = service.inbound.keeper.runner
        await eventually(lambda: runner.pipeline)
        ground.integration("one")["events"] = {"rename": {"Response Submitted": NEW_NAME}}
        await ground.reload()
        assert runner.pipeline is not None
        assert isinstance(runner.pipeline.worker, Applier)
        assert {NEW_NAME, "Former Name"} <= runner.pipeline.worker.rules.own_events


@pytest.mark.parametrize("is_concerned", [False, True])
async def test_a_stop_by_the_mass_guard_ends_with_a_change_that_concerns_it(
    ground: Ground, *, is_concerned: bool
) -> None:
    """Others may change what they like: that makes the records of this one no better, also after a restart."""
    for _ in range(2):
        async with ground.running() as service:
            memory = service.integrations["three"]._guard_memory
            if not memory.is_guarded():
                memory.remember()
            name = "three" if is_concerned else "two"
            ground.integration(name)["limits"] = {"max_open_records": 5_000 + time.monotonic_ns() % 1_000}
            await ground.reload()
            memory = service.integrations["three"]._guard_memory
            assert memory.is_guarded() is not is_concerned
    assert len(ground.told("integration.guarded")) == (not is_concerned)


async def test_a_new_integration_that_the_brokers_refuse_does_not_end_the_process(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse() -> None:
        raise SettingsError(["kafka.sasl_plain_password is refused"])

    async with ground.running(connect_retry=0.001, restart_min=0.001) as service:
        with monkeypatch.context() as patch:
            patch.setattr(ground.brokers, "preflight", refuse)
            ground.integration("four").update(ground.integration("three"), topics=["four"])
            await ground.reload()
            await eventually(lambda: service.integrations["four"].runner.restarts)
            ground.produce("one", "evt_1")
            await ground.delivered("one")
        await eventually(lambda: ground.is_reading("four"))


async def test_orders_outlive_changes(ground: Ground) -> None:
    """Whoever paused an integration did not ask for records because its limits or names of events are changed."""
    async with ground.running() as service:

        def order(**wanted: Any) -> None:
            service._control._orders.take(b"three", encode(Order(is_paused=True, at=time.time(), **wanted)))
            service._control._steer()

        order()
        ground.integration("three")["limits"] = {"max_open_records": 5_000}
        await ground.reload()
        await eventually(lambda: ground.is_reading("three"))
        ground.produce("three", "evt_1")
        ground.produce("one", "evt_2")
        await ground.delivered("one")
        assert service.integrations["three"].runner.is_paused
        assert ground.totals("three").consumed == 0
        order(discard=True)
        await ground.delivered("three")
        ground.integration("three")["events"] = {"rename": {"Response Submitted": NEW_NAME}}
        await ground.reload()
        ground.produce("three", "evt_3")
        await ground.delivered("three")
        assert ground.totals("three").filtered == 2
    assert not ground.taken("own")


async def test_what_goes_wrong_with_one_part_leaves_the_others_working(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is: the part goes on with what it had, and the log says so."""
    adopt = Integration.adopt

    def fail_once(*_: Any) -> None:
        monkeypatch.setattr(Integration, "adopt", adopt)
        raise ZeroDivisionError("planted")

    async with ground.running():
        monkeypatch.setattr(Integration, "adopt", fail_once)
        ground.destination("shared")["max_in_flight"] = 2
        ground.integration("three")["events"] = {"rename": {"Response Submitted": NEW_NAME}}
        await ground.reload()
        for number, name in enumerate(ground.pipelines()):
            ground.produce(name, f"evt_{number}")
        await ground.delivered("two")
        await ground.delivered("three")
    [line] = ground.told("config.rejected")
    assert line["detail"].startswith("integrations.one: a bug in streamer (ZeroDivisionError at ")
    assert "planted" not in str(ground.lines)
    assert ground.events("own") == {"evt_2": NEW_NAME}


async def test_an_integration_that_ends_leaves_in_the_event_loop_and_only_its_disk_is_waited_for_elsewhere() -> None:
    """What instances share belongs to the loop: another thread would change it while it is read."""
    threads: dict[str, int] = {}
    ended = SimpleNamespace(
        name="surveys",
        summarise=lambda **_: None,
        leave=lambda: threads.update(leave=get_ident()),
        receipts=SimpleNamespace(close=lambda: threads.update(close=get_ident())),
    )
    await changing._end(cast("Integration", ended))
    assert threads["leave"] == get_ident()
    assert threads["close"] != get_ident()
