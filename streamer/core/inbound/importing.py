"""Directory lines that are imported: they add to what is there, and time decides as it does for calls.

Values without a time are older than any call, so they fill gaps and replace what was imported before, and never what a
call has set.
"""

from collections.abc import Iterable

from streamer.core.inbound import digests, links, merging, redirects
from streamer.core.inbound.call import IgnoredReason, Remark, Traits
from streamer.core.inbound.directory import Concern, Device, Person, User
from streamer.core.inbound.index import Index
from streamer.core.inbound.rules import Rules


def concern(lines: Iterable[User | Device]) -> Concern:
    """What to load before the lines are taken."""
    names: set[str] = set()
    devices: set[str] = set()
    for line in lines:
        if isinstance(line, User):
            names.update((line.username, *line.redirects))
            devices.update(line.devices)
        else:
            devices.add(line.anonymous_id)
    marks = {
        *map(digests.name_mark, names),
        *map(digests.device_mark, devices),
        *map(digests.sign_out_mark, names),
    }
    return Concern(frozenset(names), frozenset(devices), frozenset(), frozenset(marks), frozenset())


def take(index: Index, line: User | Device, rules: Rules, remarks: list[Remark]) -> IgnoredReason | None:
    """Add what a line says. Returns why it is ignored, if it is: the user was deleted after the line was written."""
    if isinstance(line, User):
        return _take_user(index, line, rules, remarks)
    device = index.device(line.anonymous_id)
    if device.user is not None:
        index.touch(device.user)
        merging.fill_gaps(device.user.person, line.person, rules, remarks)
        index.email_changed(device.user)
        index.journal.close_call(device.user.changed)
        return None
    index.keep(device)
    device.since, device.left = max(device.since, line.since), max(device.left, line.left)
    _write(device.person, line.person, rules, remarks)
    return None


def _take_user(index: Index, line: User, rules: Rules, remarks: list[Remark]) -> IgnoredReason | None:
    user = index.find(line.username)
    if user is None:
        if index.is_deleted(line.username, line.changed):  # a line without times is older than any deletion
            return IgnoredReason.DELETED
        user = index.create(line.username)
    index.touch(user)
    changed, revision = max(user.changed, line.changed), line.revision
    _write(user.person, line.person, rules, remarks)
    index.email_changed(user)
    user.named, user.signed_out = max(user.named, line.named), max(user.signed_out, line.signed_out)
    for given in line.devices.values():
        links.restore(index, index.device(given.anonymous_id), given, user, rules, remarks)
    for name, at in line.redirects.items():
        known = index.redirects.get(name)
        if name not in index.users and (known is None or known.redirects[name] <= at):
            redirects.redirect(index, name, user, at, rules, remarks)
    index.journal.close_call(changed)
    user.changed, user.revision = changed, max(user.revision, revision)
    return None


def _write(person: Person, given: Person, rules: Rules, remarks: list[Remark]) -> None:
    """Each value with its own time."""
    if given.email is not None:
        merging.write_email(person, str(given.email.value), given.email.at, remarks)
    for traits, at in (
        *((Traits(firstname=value.value), value.at) for value in [given.firstname] if value is not None),
        *((Traits(lastname=value.value), value.at) for value in [given.lastname] if value is not None),
        *((Traits(attributes={name: value.value}), value.at) for name, value in given.attributes.items()),
    ):
        merging.write(person, traits, at, rules, remarks)
