"""When the configuration is read again, and what becomes of one that cannot be used."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from streamer.core.delivery.transitions import State
from streamer.destinations import Destination
from streamer.logs import logger
from streamer.pipeline.sharing import open_receipts
from streamer.service_view import ServiceView
from streamer.settings.watching import Change, ConfigFile, content_of
from streamer.status import Reload
from streamer.status.verdict import Level, Verdict, verdict_of
from tests.doubles.destination import ACCEPTED, status
from tests.pipeline.engine import eventually
from tests.reloading.ground import Ground

SOON: Final = 0.005
"""Seconds between two looks, in tests that wait for one."""


def verdict(ground: Ground) -> Verdict:
    return verdict_of(ServiceView(ground.service).status(), now=2e9, monotonic_now=0.0)


def reloads(ground: Ground) -> dict[Reload, int]:
    counted = ServiceView(ground.service).status().config_reloads
    return {result: counted.get(result, 0) for result in Reload}


async def test_a_bad_file_is_refused_with_all_its_faults_until_a_good_one_comes(ground: Ground) -> None:
    async with ground.running() as service:
        before, settings = ground.pipelines(), service.settings
        ground.integration("one")["dialect"] = "unknown"
        ground.integration("two")["limits"] = {"max_open_records": 0}
        ground.destination("new")["write_key"] = "key-5"
        await ground.reload()
        [line] = ground.told("config.rejected")
        assert (line["log_level"], line["faults"]) == ("error", 2)
        assert "integrations.one.dialect" in line["detail"]
        assert "integrations.two.limits.max_open_records" in line["detail"]
        assert line["runbook"].endswith("#streamerconfigreloadfailed")
        assert service.settings is settings
        assert list(service.destinations) == ["shared", "own"]
        assert reloads(ground) == {Reload.APPLIED: 0, Reload.FAILED: 1}
        assert verdict(ground).level is Level.ACT
        assert verdict(ground).headline.startswith("configuration: the changed file was rejected ")
        assert "(and 1 more fault)" in verdict(ground).headline
        ground.produce("one", "evt_1")
        await ground.delivered("one")
        ground.integration("one")["dialect"] = "getuserfeedback"
        del ground.integration("two")["limits"]
        await ground.reload()
        assert ground.pipelines() == before
        assert reloads(ground) == {Reload.APPLIED: 1, Reload.FAILED: 1}
        assert verdict(ground).level is not Level.ACT
        assert list(service.destinations) == ["shared", "own", "new"]


async def test_what_needs_a_restart_is_said_by_name_and_shown(ground: Ground) -> None:
    async with ground.running() as service:
        ground.document["kafka"]["client_id"] = "other"
        ground.integration("one")["events"] = {"disabled": ["Response Submitted"]}
        await ground.reload()
        [line] = ground.told("config.reloaded")
        assert (line["changed"], line["needs_restart"]) == ("integrations.one.events.disabled", "kafka.client_id")
        assert service.settings.kafka.client_id == "streamer"
        [problem] = [one for one in verdict(ground).problems if one.subject == "configuration"]
        assert (problem.level, problem.is_data_at_risk) == (Level.WATCH, False)
        assert "kafka.client_id" in problem.what
        del ground.document["kafka"]["client_id"]
        await ground.reload()
        assert not [one for one in verdict(ground).problems if one.subject == "configuration"]


async def test_what_cannot_be_opened_leaves_everything_as_it_was(ground: Ground, tmp_path: Path) -> None:
    """The state directory of a new integration is in use, and a key cannot be read: nothing is changed by halves."""
    async with ground.running() as service:
        before = ground.pipelines()
        other = open_receipts("four", service.settings, service.destinations["own"])
        try:
            ground.integration("four").update(ground.integration("three"), topics=["four"])
            ground.integration("one")["limits"] = {"max_open_records": 5_000}
            del ground.destination("shared")["write_key"]
            ground.destination("shared")["write_key_file"] = str(tmp_path / "missing")
            await ground.reload()
        finally:
            other.close()
        [line] = ground.told("config.rejected")
        assert line["faults"] == 2
        assert "destinations.shared: write_key_file" in line["detail"]
        assert "integrations.four: " in line["detail"]
        assert "is in use by another streamer" in line["detail"]
        assert ground.pipelines() == before
        ground.destination("shared").update(write_key="key-1")
        del ground.destination("shared")["write_key_file"]
        await ground.reload()
        await eventually(lambda: ground.is_reading("four") and ground.is_reading("one"))
    assert [len(ground.receivers[name]) for name in ("shared", "own")] == [1, 1]


async def test_the_log_changes_at_once(ground: Ground) -> None:
    async with ground.running():
        ground.document["log"] = {"level": "debug"}
        await ground.reload()
        assert ground.told("config.reloaded")[0]["changed"] == "log.level"


async def test_a_storm_of_signals_is_one_more_reload(ground: Ground) -> None:
    async with ground.running(config_every=SOON) as service:
        for _ in range(1_000):
            service.reloader.ask()
        await eventually(lambda: ground.told("config.reloaded"))
        for _ in range(1_000):
            service.reloader.ask()
        await eventually(lambda: len(ground.told("config.reloaded")) == 2)
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert len(ground.told("config.reloaded")) == 2


async def test_a_reload_waits_for_the_one_that_runs(ground: Ground) -> None:
    async with ground.running() as service:
        [receiver] = ground.receivers["own"]
        receiver.may_answer.clear()
        ground.produce("three", "evt_1")
        await eventually(lambda: receiver.events)
        ground.integration("three")["limits"] = {"max_open_records": 5_000}
        first = asyncio.create_task(ground.reload())
        await eventually(lambda: ground.told("drain.started"))
        ground.integration("three")["limits"] = {"max_open_records": 6_000}
        second = asyncio.create_task(ground.reload())
        await eventually(lambda: service.reloader._one_at_a_time._waiters)
        assert service.settings.integrations["three"].limits.max_open_records == 5_000
        receiver.may_answer.set()
        await asyncio.gather(first, second)
        assert service.settings.integrations["three"].limits.max_open_records == 6_000
    assert [line["restarted"] for line in ground.told("config.reloaded")] == ["three", "three"]


async def test_the_end_of_the_process_waits_for_a_reload_and_starts_nothing(ground: Ground) -> None:
    async with ground.running() as service:
        [receiver] = ground.receivers["own"]
        receiver.may_answer.clear()
        ground.produce("three", "evt_1")
        await eventually(lambda: receiver.events)
        ground.destination("own")["max_in_flight"] = 2
        reloading = asyncio.create_task(ground.reload())
        await eventually(lambda: ground.told("drain.started"))
        asyncio.get_running_loop().call_later(0.05, receiver.may_answer.set)
    await reloading
    assert service.is_draining
    assert all(receiver.is_closed for receivers in ground.receivers.values() for receiver in receivers)
    assert ground.taken("own") == ["evt_1"]
    reloaded = len(ground.told("config.reloaded"))
    await service.reloader.reload()
    assert len(ground.told("config.reloaded")) == reloaded, "the process has ended"


async def test_a_changed_file_is_noticed(ground: Ground) -> None:
    async with ground.running(config_every=SOON):
        ground.integration("one")["events"] = {"disabled": ["Response Submitted"]}
        ground.write()
        await eventually(lambda: ground.told("config.reloaded"))
        ground.path.unlink()
        await eventually(lambda: ground.told("config.rejected"))
        ground.write()
        await eventually(lambda: len(ground.told("config.reloaded")) == 2)


async def test_a_changed_key_is_noticed(ground: Ground, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("key-1\n")
    del ground.destination("shared")["write_key"]
    ground.destination("shared")["write_key_file"] = str(key)
    async with ground.running(config_every=SOON) as service:
        before = ground.pipelines()
        ground.produce("one", "evt_1")
        await ground.delivered("one")
        key.write_text("key-2\n")
        await eventually(lambda: service.destinations["shared"].status.key_reloads[Reload.APPLIED])
        ground.produce("one", "evt_1")
        await ground.delivered("one")
        assert ground.totals("one").delivered == 2, "the other key is another source"
        key.unlink()
        await eventually(lambda: ground.told("destination.key_unreadable"))
        assert ground.pipelines() == before
        assert reloads(ground) == {Reload.APPLIED: 1, Reload.FAILED: 1}
        for name in ("one", "two"):
            del ground.document["integrations"][name]
        del ground.document["destinations"]["shared"]
        await ground.reload()
        assert list(service.destinations) == ["own"]
        assert reloads(ground)[Reload.FAILED] == 1, "it counts as long as the process lives"


async def test_a_held_destination_is_probed_at_once_with_another_key(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed: list[str] = []
    monkeypatch.setattr(Destination, "probe_now", lambda destination: probed.append(destination.name))
    key = tmp_path / "key"
    key.write_text("wrong")
    del ground.destination("own")["write_key"]
    ground.destination("own")["write_key_file"] = str(key)
    async with ground.running(config_every=SOON) as service:
        [receiver] = ground.receivers["own"]
        receiver.decide = lambda _: ACCEPTED if receiver.key == "right" else status(401)
        ground.produce("three", "evt_1")
        await eventually(lambda: service.destinations["own"].state is State.HELD)
        assert not probed
        key.write_text("right")
        await eventually(lambda: probed)
        await ground.delivered("three")
    assert probed == ["own"]


async def test_what_was_sent_with_the_former_key_proves_nothing(ground: Ground, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("key-1")
    del ground.destination("own")["write_key"]
    ground.destination("own")["write_key_file"] = str(key)
    async with ground.running() as service:
        [receiver] = ground.receivers["own"]
        receiver.may_answer.clear()
        ground.produce("three", "evt_1")
        await eventually(lambda: receiver.events)
        key.write_text("key-2")
        service.destinations["own"].reread_credentials()
        receiver.may_answer.set()
        await ground.delivered("three")
        ground.produce("three", "evt_1")
        await ground.delivered("three")
    assert ground.taken("own") == ["evt_1", "evt_1"]


class TestChange:
    def test_a_file_counts_as_changed_after_two_equal_looks(self) -> None:
        change = Change(b"one")
        assert [change.is_due(found) for found in (b"one", b"tw", b"two", b"two", b"two")] == [
            *(False, False, False, True, False)
        ]

    def test_what_comes_back_was_no_change(self) -> None:
        change = Change(b"one")
        assert not any(change.is_due(found) for found in (b"one", None, b"one", b"one"))

    def test_a_file_that_is_gone_has_changed(self) -> None:
        change = Change(b"one")
        assert [change.is_due(found) for found in (None, None, b"one", b"one")] == [False, True, False, True]

    def test_what_was_taken_is_not_taken_again(self) -> None:
        change = Change()
        change.take(b"one")
        assert not change.is_due(b"one")


class TestConfigFile:
    @pytest.fixture
    def file(self, ground: Ground) -> ConfigFile:
        ground.write()
        file = ConfigFile(ground.path, {})
        file.load()
        return file

    def test_a_link_that_is_turned_is_a_change(self, ground: Ground, tmp_path: Path) -> None:
        """So does Kubernetes show a new ConfigMap."""
        ground.write()
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "streamer.yaml").write_text(f"# {name}\n{ground.path.read_text()}")
        (tmp_path / "data").symlink_to("one")
        file = ConfigFile(tmp_path / "data" / "streamer.yaml", {})
        file.load()
        (tmp_path / "new").symlink_to("two")
        (tmp_path / "new").replace(tmp_path / "data")
        assert [file.has_changed() for _ in range(3)] == [False, True, False]

    def test_the_same_content_is_no_change(self, file: ConfigFile, ground: Ground) -> None:
        ground.path.write_bytes(ground.path.read_bytes())
        assert not any(file.has_changed() for _ in range(3))

    def test_a_change_between_the_start_and_the_first_look_is_noticed(self, file: ConfigFile, ground: Ground) -> None:
        ground.path.write_text(f"# changed\n{ground.path.read_text()}")
        assert [file.has_changed() for _ in range(2)] == [False, True]

    def test_what_is_no_regular_file_is_not_read(self, tmp_path: Path) -> None:
        assert content_of(tmp_path) is None
        assert content_of(Path("/dev/zero")) is None


def test_a_level_that_a_reload_sets_is_that_of_the_configuration() -> None:
    level = logger().configured_level
    try:
        logger().configure_level(10)
        assert (logger().configured_level, logger().writes(10)) == (10, True)
    finally:
        logger().configure_level(level)
