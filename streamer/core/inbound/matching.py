"""Who a call is about: by e-mail address, by user id, else by the device."""

from typing import NamedTuple

from streamer.core.inbound import links
from streamer.core.inbound.call import Call, IgnoredReason, MatchedBy, Remark
from streamer.core.inbound.directory import User
from streamer.core.inbound.index import Index
from streamer.core.inbound.rules import Rules


class Match(NamedTuple):
    """Who a call is about, and what may be done about it."""

    user: User | None
    """None: the device itself, nobody, or a user to create."""
    by: MatchedBy
    """`MatchedBy.CREATED`: a user is to be created with the call's userId."""
    may_link: bool = True
    """Whether the call's device may be linked to the user."""
    is_nobody: bool = False
    """The call names a device alone, and may be of somebody who used it before."""


def match(index: Index, call: Call, rules: Rules, remarks: list[Remark]) -> Match | IgnoredReason:
    """Who an identify or track call is about, or why it is ignored."""
    found = match_user(index, call, rules, remarks)
    if found is not None:
        return found
    if call.user_id is not None:
        if index.is_deleted(call.user_id, call.at):
            return IgnoredReason.DELETED
        # A user of this name is there, but is not to be found by it: nobody else can have the name.
        is_taken = index.find(call.user_id) is not None
        return IgnoredReason.UNMATCHED if is_taken else Match(None, MatchedBy.CREATED)
    if call.anonymous_id is not None:
        return match_device(index, call.anonymous_id, call.at)
    return IgnoredReason.NO_IDENTITY if call.traits.email is None else IgnoredReason.UNMATCHED


def match_user(index: Index, call: Call, rules: Rules, remarks: list[Remark]) -> Match | IgnoredReason | None:
    """The user that the e-mail address or the userId leads to; None: neither does."""
    by_id = index.find(call.user_id) if "user_id" in rules.match else None
    by_email = _with_email(index, call, by_id, remarks) if "email" in rules.match else None
    found = {MatchedBy.EMAIL: by_email, MatchedBy.USER_ID: by_id}
    by = next((MatchedBy(way) for way in rules.match if found[MatchedBy(way)] is not None), None)
    if by is None:
        return None
    user = found[by]
    is_conflict = by_id is not None and by_email is not None and by_id is not by_email
    if is_conflict:
        remarks.append(Remark.EMAIL_CONFLICT)
    if user is by_id and call.user_id is not None and index.is_deleted(call.user_id, call.at):
        return IgnoredReason.DELETED  # the user was deleted and created again since
    return Match(user, by, may_link=not is_conflict)


def match_device(index: Index, anonymous_id: str, at: int) -> Match:
    """Who uses a device at the time of a call."""
    device = index.device(anonymous_id)
    if not links.is_own_at(device, at):
        return Match(None, MatchedBy.NONE, may_link=False, is_nobody=True)
    return Match(device.user, MatchedBy.NONE if device.user is None else MatchedBy.DEVICE)


def _with_email(index: Index, call: Call, by_id: User | None, remarks: list[Remark]) -> User | None:
    if call.traits.email is None:
        return None
    users = index.with_email(call.traits.email)
    if len(users) <= 1:
        return users[0] if users else None
    remarks.append(Remark.EMAIL_AMBIGUOUS)
    if by_id in users:
        return by_id
    return min(users, key=lambda user: (-user.changed, user.username))
