"""What follows from a changed configuration while the service runs."""

import copy
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.devkit.docs.settings import sections
from streamer.pipeline.subscription import subscription_of
from streamer.settings import Settings
from streamer.settings.changes import EFFECTS, Effect, Plan, conflicts, effect_of, plan_of

FILE: Final[dict[str, Any]] = {
    "kafka": {"bootstrap_servers": "broker:9092"},
    "destinations": {"production": {"write_key": "key-1"}, "spare": {"write_key": "key-2", "message_id_suffix": "-2"}},
    "integrations": {
        "sprig": {"dialect": "sprig", "topics": ["surveys.sprig"], "destination": "production"},
        "others": {"dialect": "canonical", "topics": ["surveys.others"], "destination": "production"},
    },
}


def settings_of(*changes: tuple[str, Any]) -> Settings:
    """The configuration with these values at dotted paths; ``...`` removes what is there."""
    document = copy.deepcopy(FILE)
    for path, value in changes:
        *sections, last = path.split(".")
        section = document
        for key in sections:
            section = section.setdefault(key, {})
        if value is ...:
            section.pop(last, None)
        else:
            section[last] = value
    return Settings.model_validate(document)


def plan(*changes: tuple[str, Any]) -> Plan:
    return plan_of(settings_of(), settings_of(*changes))


def acts(plan: Plan) -> dict[str, tuple[str, ...]]:
    """What the plan does to whom, without what it does to nobody."""
    kinds = ("opened", "replaced", "closed", "started", "restarted", "remapped", "ended")
    return {kind: names for kind in kinds if (names := getattr(plan, kind))}


NEW: Final = {"dialect": "sprig", "topics": ["new"], "destination": "production"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([("integrations.sprig.events", {"rename": {"a": "b"}})], {"remapped": ("sprig",)}),
        ([("integrations.sprig.events", {"disabled": ["a"]})], {"remapped": ("sprig",)}),
        ([("integrations.sprig.sprig", {"event_name": "b"})], {"remapped": ("sprig",)}),
        ([("integrations.sprig.strip_registry_prefix", True)], {"remapped": ("sprig",)}),
        ([("integrations.sprig.identify_devices", True)], {"remapped": ("sprig",)}),
        ([("integrations.sprig.limits", {"max_open_records": 5_000})], {"restarted": ("sprig",)}),
        ([("integrations.sprig.topics", ["surveys.sprig", "more"])], {"restarted": ("sprig",)}),
        ([("integrations.sprig.group_id", "other")], {"restarted": ("sprig",)}),
        ([("integrations.sprig.dialect", "getuserfeedback")], {"restarted": ("sprig",)}),
        ([("integrations.sprig.destination", "spare")], {"restarted": ("sprig",)}),
        (
            [("integrations.sprig.events", {"disabled": ["a"]}), ("integrations.sprig.group_id", "other")],
            {"restarted": ("sprig",)},
        ),
        ([("integrations.sprig.status", "paused")], {"restarted": ("sprig",)}),
        (
            [("integrations.sprig.status", "paused"), ("integrations.sprig.on_pause", "discard")],
            {"remapped": ("sprig",)},
        ),
        ([("integrations.sprig.on_pause", "discard")], {"remapped": ("sprig",)}),
        ([("destinations.production.rate_limit", 5)], {"replaced": ("production",), "restarted": ("sprig", "others")}),
        (
            [("destinations.production.write_key", "new")],
            {"replaced": ("production",), "restarted": ("sprig", "others")},
        ),
        ([("destinations.spare.gzip", False)], {"replaced": ("spare",)}),
        ([("destinations.third", {"write_key": "key-3"})], {"opened": ("third",)}),
        ([("destinations.spare", ...)], {"closed": ("spare",)}),
        ([("integrations.new", NEW)], {"started": ("new",)}),
        ([("integrations.sprig", ...)], {"ended": ("sprig",)}),
        ([("integrations.sprig", ...), ("integrations.new", NEW)], {"started": ("new",), "ended": ("sprig",)}),
        ([("log.level", "debug")], {}),
        ([("kafka.client_id", "other")], {}),
        ([], {}),
    ],
)
def test_what_a_change_does_to_whom(changes: list[tuple[str, Any]], expected: dict[str, tuple[str, ...]]) -> None:
    assert acts(plan(*changes)) == expected


def test_what_has_changed_is_said_by_name_and_never_by_value() -> None:
    changed = plan(
        ("destinations.production.write_key", "the-secret"),
        ("integrations.sprig.events", {"rename": {"Old": "New"}}),
        ("integrations.new", NEW),
        ("log.level", "debug"),
        ("kafka.client_id", "other"),
    )
    assert changed.changed == (
        "log.level",
        "destinations.production.write_key",
        "integrations.sprig.events.rename",
        "integrations.new",
    )
    assert changed.needs_restart == ("kafka.client_id",)
    assert changed.is_log_changed


@pytest.mark.parametrize(
    "change",
    [
        ("kafka.bootstrap_servers", "other:9092"),
        ("state_dir", "elsewhere"),
        ("receipts.window", "1h"),
        ("receipts.topic", "receipts"),
        ("control", False),
        ("server.port", 9_000),
        ("inbound", {"webhooks": {"sprig": {"secrets": ["s"]}}}),
        ("directory", False),
    ],
)
def test_what_needs_a_restart_stays_as_it_is_and_is_named_until_then(change: tuple[str, Any]) -> None:
    wanted = settings_of(change, ("log.level", "debug"))
    first = plan_of(settings_of(), wanted)
    assert len(first.needs_restart) == 1
    assert first.needs_restart[0].startswith(change[0])
    assert first.settings == settings_of(("log.level", "debug"))
    again = plan_of(first.settings, wanted)
    assert (again.changed, again.needs_restart) == ((), first.needs_restart)
    assert plan_of(again.settings, settings_of(("log.level", "debug"))).needs_restart == ()


def test_what_does_not_fit_what_is_kept_until_a_restart_is_refused() -> None:
    present = settings_of(("directory", False))
    wanted = settings_of(("directory.url", "sqlite:///users.db"), ("integrations.sprig.identify_devices", True))
    [fault] = conflicts(plan_of(present, wanted))
    assert fault.startswith("integrations.sprig.identify_devices: needs the directory of users")
    assert "directory takes effect only then" in fault
    assert not conflicts(plan_of(wanted, wanted))


def test_every_setting_has_its_effect() -> None:
    paths = [setting.path for section in sections() for setting in section.settings]
    assert {effect_of(path) for path in paths} == set(Effect)
    for name in EFFECTS:
        length = name.count(".") + 1
        assert any(".".join(path[:length]) == name for path in paths), f"{name} is no setting"


CHANGES: Final[list[tuple[str, list[Any]]]] = [
    ("kafka.client_id", ["streamer", "other"]),
    ("server.port", [8_080, 9_000]),
    ("log.level", ["info", "debug"]),
    ("destinations.production.write_key", ["key-1", "key-9"]),
    ("destinations.spare.rate_limit", [None, 5]),
    ("destinations.third", [..., {"write_key": "key-3", "message_id_suffix": "-3"}]),
    ("integrations.sprig.destination", ["production", "spare"]),
    ("integrations.sprig.topics", [["surveys.sprig"], ["surveys.sprig", "more"]]),
    ("integrations.sprig.status", ["running", "paused"]),
    ("integrations.sprig.on_pause", ["hold", "discard"]),
    ("integrations.sprig.events", [{}, {"rename": {"a": "b"}}, {"disabled": ["a"]}]),
    ("integrations.others.dead_letters", [{}, {"max_ratio": 1}]),
    ("integrations.others", [FILE["integrations"]["others"], ...]),
    ("integrations.new", [..., NEW, {**NEW, "destination": "spare"}]),
]
CONFIGURATIONS: Final = st.tuples(*(st.sampled_from(values) for _, values in CHANGES)).map(
    lambda values: settings_of(*zip([path for path, _ in CHANGES], values, strict=True))
)


@given(present=CONFIGURATIONS, wanted=CONFIGURATIONS)
def test_who_is_left_alone_has_nothing_that_changed(present: Settings, wanted: Settings) -> None:
    made = plan_of(present, wanted)
    after = made.settings
    groups = [*made.started, *made.restarted, *made.remapped, *made.ended]
    assert len(groups) == len(set(groups)), "each one has one fate"
    assert {*present.integrations, *made.started} - {*made.ended} == set(after.integrations)
    assert {*present.destinations, *made.opened} - {*made.closed} == set(after.destinations)
    for name in set(present.integrations) & set(after.integrations):
        old, new = present.integrations[name], after.integrations[name]
        if name not in made.restarted:
            assert subscription_of(name, present) == subscription_of(name, after)
            assert old.limits == new.limits
            assert new.destination not in {*made.opened, *made.replaced}
            assert present.destinations[old.destination] == after.destinations[new.destination]
            if name not in made.remapped:
                assert old == new
                assert present.mapping(name) == after.mapping(name)
    assert plan_of(after, wanted).changed == ()
    assert acts(plan_of(after, wanted)) == {}
