"""What a changed configuration would change: two of them, and what each makes of the same records."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from streamer.core.mapping.difference import End, Tally
from streamer.core.pushing import new_mapper
from streamer.operations.dry_mapping import dry_end
from streamer.settings import IntegrationSettings, Settings

if TYPE_CHECKING:
    from streamer.kafka.topic_reader import Bounds, TopicReader


class Structure(NamedTuple):
    """One thing that is different about an integration as a whole."""

    integration: str
    change: str
    what: str


class Given(NamedTuple):
    """A record, as far as mapping looks at it."""

    place: str
    topic: str | None
    """None: it comes from a file, so whose it is has been said."""
    value: bytes | None
    time_ms: int
    headers: Sequence[tuple[str, bytes | None]] = ()
    key: bytes | None = None


class _Side:
    """One integration of one configuration."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.topics = frozenset(settings.integrations[name].topics)
        self._mapper = new_mapper(settings.mapping(name))

    def end(self, record: Given) -> End:
        """What becomes of a record."""
        if record.topic is not None and record.topic not in self.topics:
            return End()
        end = dry_end(partial(self._mapper.map, record.value, record.time_ms, record.headers, record.key))
        return End(end.outcome, end.reason, end.call)


class Comparison:
    """Two configurations, asked about one record after the other."""

    def __init__(self, old: Settings, new: Settings, integrations: Collection[str], max_examples: int) -> None:
        """Prepare.

        Args:
            old: how records become calls at present.
            new: how they would become calls.
            integrations: names to compare; each is in at least one of the configurations.
            max_examples: how many records to keep of each change.
        """
        self._sides = {
            name: [_Side(settings, name) if name in settings.integrations else None for settings in (old, new)]
            for name in integrations
        }
        self.tally = Tally(max_examples)

    @property
    def topics(self) -> set[str]:
        """All topics that are read with one of the configurations."""
        return {topic for sides in self._sides.values() for side in sides if side is not None for topic in side.topics}

    def look(self, record: Given) -> None:
        """Compare what becomes of a record in each integration that reads it."""
        for name, sides in self._sides.items():
            if record.topic is None or any(side is not None and record.topic in side.topics for side in sides):
                old, new = (End() if side is None else side.end(record) for side in sides)
                self.tally.add(name, record.place, old, new)

    async def read(self, reader: "TopicReader", bounds: "Bounds", on_progress: Callable[[int, int], None]) -> None:
        """Compare what becomes of all records within the bounds.

        Args:
            reader: is open.
            bounds: of topics of the integrations.
            on_progress: called with the number of records so far, and that of all at most.

        Raises:
            UnavailableError: the topics cannot be read to their end.
        """
        done, total = 0, sum(end - first for first, end in bounds.values())
        async for records in reader.read(bounds):
            for record in records:
                place = f"{record.topic}:{record.partition}:{record.offset}"
                given = Given(place, record.topic, record.value, record.timestamp, record.headers, record.key)
                self.look(given)
            done += len(records)
            on_progress(done, total)


def newest(bounds: "Bounds", max_records: int) -> dict[tuple[str, int], tuple[int, int]]:
    """The same bounds, or of each partition the same share of its newest records, at most ``max_records`` together."""
    total = sum(end - first for first, end in bounds.values())
    if total <= max_records:
        return dict(bounds)
    return {place: (end - (end - first) * max_records // total, end) for place, (first, end) in bounds.items()}


def structure(old: Settings, new: Settings, integrations: Collection[str]) -> Iterator[Structure]:
    """What is different about integrations as wholes, whatever records there are."""
    for name in integrations:
        before, after = old.integrations.get(name), new.integrations.get(name)
        if before is None or after is None:
            given = after or before
            assert given is not None, "each name is in one of the configurations"
            change = "integration_added" if before is None else "integration_removed"
            yield Structure(name, change, f"{', '.join(given.topics)} ({given.dialect}) -> {given.destination}")
            continue
        parts = zip(_parts(old, before).items(), _parts(new, after).values(), strict=True)
        for (change, was), now in parts:
            if was != now:
                yield Structure(name, change, f"{was} -> {now}")
        if before.destination == after.destination and _key(old, before) != _key(new, after):
            yield Structure(name, "destination_changed", f"{after.destination} has another key")


def _parts(settings: Settings, integration: IntegrationSettings) -> Mapping[str, str]:
    """What is compared, by the name of its change. Secrets are not shown."""
    destination = settings.destinations[integration.destination]
    is_paused = integration.status == "paused"
    return {
        "topics_changed": ", ".join(sorted(integration.topics)),
        "dialect_changed": integration.dialect,
        "destination_changed": f"{integration.destination} ({destination.kind}, {destination.url})",
        "status_changed": f"paused ({integration.on_pause})" if is_paused else integration.status,
        "identify_devices_changed": str(integration.identify_devices).lower(),
        "group_changed": integration.group_id,
    }


def _key(settings: Settings, integration: IntegrationSettings) -> tuple[object, object]:
    destination = settings.destinations[integration.destination]
    name = destination.key_setting
    return getattr(destination, name), getattr(destination, f"{name}_file")
