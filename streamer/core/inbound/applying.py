"""What each kind of call does to the directory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from streamer.core.inbound import digests, lines, links, matching, merging
from streamer.core.inbound.aliasing import Alias
from streamer.core.inbound.call import Action, Call, IgnoredReason, MatchedBy, Remark, Traits
from streamer.core.inbound.directory import Outgoing, User
from streamer.core.inbound.index import Index
from streamer.core.inbound.rules import Rules
from streamer.core.inbound.times import microseconds
from streamer.core.records.own_headers import AUTHENTICATED, RECEIVED, SCHEMA, WEBHOOK

TRIGGER_SCHEMA: Final = "trigger.1"
_SECOND: Final = 1_000_000


@dataclass(slots=True)
class Effect:
    """What one call did, filled in while it is applied."""

    remarks: list[Remark]
    user: User | None = None
    by: MatchedBy = MatchedBy.NONE
    linked: bool = False
    written: int = 0
    triggers: list[Outgoing] = field(default_factory=list)
    """At most one."""


def apply(index: Index, call: Call, rules: Rules, effect: Effect) -> IgnoredReason | None:
    """Apply a call to the loaded directory. Returns why it is ignored, if it is."""
    reason = _ACTIONS[call.action](index, call, rules, effect)
    if reason is None and call.anonymous_id is not None:
        index.note(index.device(call.anonymous_id))
    return reason


def _identify(index: Index, call: Call, rules: Rules, effect: Effect) -> IgnoredReason | None:
    match = matching.match(index, call, rules, effect.remarks)
    if isinstance(match, IgnoredReason):
        return match
    if match.is_nobody:
        return IgnoredReason.STALE
    user = _user_of(index, call, match, effect)
    if user is not None:
        index.touch(user)
        effect.written = merging.write(user.person, call.traits, call.at, rules, effect.remarks)
        index.email_changed(user)
        _link(index, call, match, rules, effect)
    elif call.anonymous_id is not None:
        device = index.device(call.anonymous_id)
        index.keep(device)
        effect.written = merging.write(device.person, call.traits, call.at, rules, effect.remarks)
    return None


def _track(index: Index, call: Call, rules: Rules, effect: Effect) -> IgnoredReason | None:
    match = matching.match(index, call, rules, effect.remarks)
    if isinstance(match, IgnoredReason):
        return match
    user = _user_of(index, call, match, effect)
    if user is not None:
        if match.by is MatchedBy.CREATED:
            effect.written = merging.write_email(user.person, call.traits.email, call.at, effect.remarks)
            index.email_changed(user)
        _link(index, call, match, rules, effect)
    if _makes_trigger(call, user, rules):
        effect.triggers.append(_trigger(call, user, rules))
    return None


def _sign_out(index: Index, call: Call, rules: Rules, effect: Effect) -> IgnoredReason | None:
    if call.anonymous_id is not None:
        device = index.device(call.anonymous_id)
        effect.user = device.user
        effect.by = MatchedBy.NONE if device.user is None else MatchedBy.DEVICE
        return None if links.sign_out(index, device, call.at) else IgnoredReason.STALE
    if call.user_id is None and call.traits.email is None:
        return IgnoredReason.NO_IDENTITY
    match = matching.match_user(index, call, rules, effect.remarks)
    if match is None:
        if call.user_id is not None:  # an older link of this user may still come
            index.mark(digests.sign_out_mark(call.user_id), call.at)
        return IgnoredReason.UNKNOWN_USER
    if isinstance(match, IgnoredReason):
        return match
    user = _user_of(index, call, match, effect)
    assert user is not None, "nobody is created here"
    links.sign_out_everywhere(index, user, call.at)
    effect.remarks.append(Remark.SIGNED_OUT_EVERYWHERE)
    return None


def _alias(index: Index, call: Call, rules: Rules, effect: Effect) -> IgnoredReason | None:
    if call.user_id is None:
        return IgnoredReason.NO_IDENTITY
    alias = Alias(index, call, call.user_id, rules, effect.remarks)
    user = alias.apply()
    if isinstance(user, IgnoredReason):
        return user
    effect.user, effect.by, effect.linked = user, alias.by, alias.linked
    return None


def _delete(index: Index, call: Call, _: Rules, effect: Effect) -> IgnoredReason | None:
    """Privacy first: everything goes, whatever came later."""
    if call.user_id is None:
        return IgnoredReason.NO_IDENTITY
    index.mark(digests.name_mark(call.user_id), call.at)
    user = index.find(call.user_id)
    if user is None:
        return IgnoredReason.UNKNOWN_USER
    effect.user, effect.by = user, MatchedBy.USER_ID
    index.mark(digests.name_mark(user.username), call.at)
    for name in list(user.redirects):
        index.mark(digests.name_mark(name), call.at)
        index.drop_redirect(name)
    for device in list(user.devices.values()):
        index.mark(digests.device_mark(device.anonymous_id), call.at)
        index.forget_device(device)
    index.remove(user)
    return None


def _group(index: Index, call: Call, rules: Rules, effect: Effect) -> IgnoredReason | None:
    """Attributes of a user who is there. The e-mail address and the names are the group's, so they do not count."""
    attributes = call.traits.attributes
    match = matching.match(index, replace(call, traits=Traits()), rules, effect.remarks)
    if isinstance(match, IgnoredReason):
        return match
    if match.is_nobody:
        return IgnoredReason.STALE
    if match.user is None:
        return IgnoredReason.UNKNOWN_USER
    effect.user, effect.by = match.user, match.by
    index.touch(match.user)
    effect.written = merging.write_attributes(match.user.person, attributes, call.at, rules, effect.remarks)
    return None


_ACTIONS: Final[Mapping[Action, Callable[[Index, Call, Rules, Effect], IgnoredReason | None]]] = {
    Action.IDENTIFY_USER: _identify,
    Action.TRACK_EVENT: _track,
    Action.SIGN_OUT_USER: _sign_out,
    Action.UPDATE_USER_ID: _alias,
    Action.DELETE_USER: _delete,
    Action.GROUP_USER: _group,
}


def _user_of(index: Index, call: Call, match: matching.Match, effect: Effect) -> User | None:
    user = match.user
    if match.by is MatchedBy.CREATED:
        assert call.user_id is not None, "a user is created with the userId"
        user = index.create(call.user_id)
    effect.user, effect.by = user, match.by
    return user


def _link(index: Index, call: Call, match: matching.Match, rules: Rules, effect: Effect) -> None:
    if call.anonymous_id is not None and effect.user is not None and match.may_link:
        device = index.device(call.anonymous_id)
        effect.linked = links.link(index, device, effect.user, call.at, rules, effect.remarks)


def _makes_trigger(call: Call, user: User | None, rules: Rules) -> bool:
    if user is None and not rules.anonymous_triggers:
        return False
    if rules.trigger_events is not None and call.event not in rules.trigger_events:
        return False
    oldest = rules.max_trigger_age_seconds
    if oldest is None:
        return True
    received = microseconds(call.received)
    return received is None or received - call.at <= oldest * _SECOND


def _trigger(call: Call, user: User | None, rules: Rules) -> Outgoing:
    username = None if user is None else user.username
    key = call.anonymous_id if username is None else username
    assert key is not None, "a call without a user names a device"
    headers = (
        (SCHEMA, TRIGGER_SCHEMA),
        (WEBHOOK, call.webhook),
        (RECEIVED, call.received),
        (AUTHENTICATED, "true" if call.authenticated else "false"),
    )
    return Outgoing(rules.triggers_topic, key, lines.trigger_value(call, username, rules.environment), headers)
