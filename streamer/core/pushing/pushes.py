"""What is pushed: the topics of the directory, as dialects of integrations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from streamer.core.mapping import Mapper
from streamer.core.model import FilterReason, MappingSettings
from streamer.core.pushing import profiles, triggers
from streamer.core.pushing.profiles import ProfileMapper
from streamer.core.pushing.triggers import TriggerMapper


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One topic of the directory as a dialect: its records become calls of the APIs in `streamer.core.pushing.apis`."""

    name: str
    """Stands in the configuration (``dialect: profiles``)."""
    contract: str
    """Name of its schema under ``schemas/``."""
    new_mapper: Callable[[MappingSettings], ProfileMapper | TriggerMapper]
    settings: type | None = None
    """A frozen dataclass. Its fields are the settings of an integration under the dialect's name."""
    has_events: bool
    """Whether its calls have an event name, which an integration may rename or disable."""
    message_id: str
    """How messageIds are made. A text for operators, in Markdown."""
    order: str
    """What is promised of the order. A text for operators, in Markdown."""
    filters: Mapping[FilterReason, str]
    """The rules by which a valid record makes no call. Texts for operators, in Markdown."""


PUSHES: Final[Mapping[str, Push]] = {
    push.name: push
    for push in (
        Push(
            name="profiles",
            contract=profiles.CONTRACT,
            new_mapper=ProfileMapper,
            settings=profiles.ProfilesSettings,
            has_events=False,
            message_id="`profile_` and 40 hexadecimal digits of the SHA-256 of the username: all calls about a user"
            " have the same one. Receipts are not used: a record that is read again is sent again, in its order, which"
            " changes nothing at the platform.",
            order="The platform ends with the newest profile of each user. Of a user, at most one request is under"
            " way. A newer record supersedes the one that waits, and the one whose request was not accepted, so"
            " no retry brings an older state back. After a kill or a reset of positions, what was not committed"
            " is sent again in its order: the platform may go back for a moment. Two things are out of"
            " streamer's hands: a request without an answer may take effect at the platform after the next one,"
            " and an instance that was frozen may finish its request when it wakes. The next change of the user"
            " corrects both, and so does a reset of positions to the beginning of the topic. A user must stay in"
            " one partition: do not add partitions to the topic.",
            filters={
                FilterReason.TOMBSTONE: "the name is gone because the user was renamed or merged"
                " (`streamer.successor`), and `profiles.renamed` is `keep`",
                FilterReason.SUPERSEDED: "a newer record of the same user came before this one was accepted",
            },
        ),
        Push(
            name="triggers",
            contract=triggers.CONTRACT,
            new_mapper=TriggerMapper,
            has_events=True,
            message_id="`messageId` of the record, unchanged. The APIs take none; it only keeps streamer from sending a"
            " record twice, within the window of the receipts.",
            order="None is promised.",
            filters={
                FilterReason.TOMBSTONE: "the record has no value",
                FilterReason.EVENT_DISABLED: "the name of the event, before renaming, is in `events.disabled`",
                FilterReason.NO_IDENTITY: "`username` is null: both APIs need a user",
            },
        ),
    )
}
"""By name, in the order of lists for people."""


def new_mapper(
    settings: MappingSettings, user_of: Callable[[str], str | None] | None = None
) -> Mapper | ProfileMapper | TriggerMapper:
    """The mapper of an integration, whatever its dialect; ``user_of``, for survey events only: see `Mapper`."""
    push = PUSHES.get(settings.dialect)
    return Mapper(settings, user_of) if push is None else push.new_mapper(settings)
