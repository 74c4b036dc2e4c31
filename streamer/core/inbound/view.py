"""What the directory holds of the users and devices that a slice of calls concerns, and what the calls make of it."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from streamer.core.inbound import applying, digests, profiles
from streamer.core.inbound.call import Applied, Call, CallOutcome, Ignored, IgnoredReason, Rejected
from streamer.core.inbound.directory import Changes, Device, Outgoing, User
from streamer.core.inbound.index import Index
from streamer.core.inbound.rules import Rules


class View:
    """The part of the directory that `concern` names, loaded for one slice.

    Calls are applied to it in their order; `changes` then says what to store and to publish, in one transaction. It
    remembers nothing beyond the slice. If `apply` raises, the call may be applied in part: load a new view.
    """

    def __init__(
        self,
        users: Iterable[User],
        devices: Iterable[Device],
        marks: Mapping[bytes, int],
        messages: Collection[bytes],
        rules: Rules,
    ) -> None:
        """Take over what was loaded; the objects are changed in place.

        Args:
            users: each with all its devices and redirects.
            devices: those without a user; the others may be among them.
            marks: time of each deletion mark.
            messages: digests of calls that were applied or ignored before.
            rules: the configuration.
        """
        self._index: Final = Index(users, devices, marks)
        self._messages: Final = set(messages)
        self._rules: Final = rules
        self._triggers: Final[list[Outgoing]] = []

    def apply(self, call: Call | Ignored | Rejected) -> Applied:
        """Apply the next call, once: one with a messageId that was applied or ignored before changes nothing.

        A rejected one is to be dead-lettered, unless it is a duplicate. It is not remembered, so that a redriven one
        counts.
        """
        message = None if call.message_id is None else digests.message_digest(call.message_id)
        if message in self._messages:
            return Applied(CallOutcome.DUPLICATE)
        if isinstance(call, Rejected):
            return Applied(CallOutcome.DEAD_LETTERED)
        assert message is not None
        effect = applying.Effect(list(call.remarks))
        reason: IgnoredReason | None
        if isinstance(call, Ignored):
            reason = call.reason
        else:
            reason = applying.apply(self._index, call, self._rules, effect)
            self._index.journal.close_call(call.at)
        outcome = CallOutcome.APPLIED if reason is None else CallOutcome.IGNORED
        self._messages.add(message)
        self._index.journal.messages[message] = outcome
        self._triggers.extend(effect.triggers)
        remarks = tuple(effect.remarks)
        if reason is not None:
            return Applied(outcome, reason, remarks)
        username = None if effect.user is None else effect.user.username
        return Applied(outcome, None, remarks, effect.by, username, effect.linked, effect.written)

    def changes(self) -> Changes:
        """Everything that the calls changed, each thing once. Profiles go out before the triggers of their users."""
        index, journal = self._index, self._index.journal
        return Changes(
            gone_users=[user.row for user in journal.gone if user.row is not None],
            users=list(journal.users),
            gone_devices=[
                name for name in journal.devices if name not in index.devices and name in journal.devices_before
            ],
            devices=[index.devices[name] for name in journal.devices if name in index.devices],
            gone_redirects=[
                name for name in journal.redirects if name not in index.redirects and name in journal.redirects_before
            ],
            redirects=[
                (name, index.redirects[name], index.redirects[name].redirects[name])
                for name in journal.redirects
                if name in index.redirects
            ],
            marks=journal.marks,
            messages=journal.messages,
            outgoing=[*profiles.records(journal, self._rules), *self._triggers],
        )
