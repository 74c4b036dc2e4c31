"""Which part of the directory a slice of calls may look at or change."""

from collections.abc import Iterable

from streamer.core.inbound import digests, email
from streamer.core.inbound.call import Action, Call, Ignored, Rejected
from streamer.core.inbound.directory import Concern
from streamer.core.inbound.rules import Rules


def concern(calls: Iterable[Call | Ignored | Rejected], rules: Rules) -> Concern:
    """What to load before the calls are applied, in any order and number.

    Loaded are the users with these names, redirects, e-mail addresses or devices, and of each of these users all
    devices and redirects. Nothing else can be reached: a call finds users by what it names alone, or by their devices.
    """
    names: set[str] = set()
    devices: set[str] = set()
    emails: set[str] = set()
    marks: set[bytes] = set()
    messages: set[bytes] = set()
    for call in calls:
        if call.message_id is not None:
            messages.add(digests.message_digest(call.message_id))
        if not isinstance(call, Call):
            continue
        if call.user_id is not None:
            names.add(call.user_id)
            marks.add(digests.sign_out_mark(call.user_id))
        if call.anonymous_id is not None:
            devices.add(call.anonymous_id)
        if call.previous_id is not None and call.action is Action.UPDATE_USER_ID:
            names.add(call.previous_id)
            devices.add(call.previous_id)
        if call.traits.email is not None and "email" in rules.match:
            emails.add(email.compared(call.traits.email))
    marks.update(map(digests.name_mark, names), map(digests.device_mark, devices))
    return Concern(frozenset(names), frozenset(devices), frozenset(emails), frozenset(marks), frozenset(messages))
