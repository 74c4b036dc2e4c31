"""Which device is whose: links and sign-outs carry the time of the call, and the newer one wins."""

from streamer.core.inbound import merging
from streamer.core.inbound.call import OLDEST, Remark
from streamer.core.inbound.directory import Device, Person, User
from streamer.core.inbound.index import Index
from streamer.core.inbound.rules import Rules


def is_own_at(device: Device, at: int) -> bool:
    """Whether a call of that time, which names the device alone, comes from its user, or from the device without one.

    Otherwise it may be another person's: of before the last link or sign-out.
    """
    return device.since <= at and device.left < at


def link(index: Index, device: Device, user: User, at: int, rules: Rules, remarks: list[Remark]) -> bool:
    """Link a device to a user, if nothing newer is known; whether it is theirs now.

    What was known of the device while it had no user fills the gaps of the user.
    """
    if device.user is user:
        if at > device.since:
            index.keep(device)
            device.since = at
        return True
    if at < device.since or (at == device.since and device.user is None):
        index.note(device)
        remarks.append(Remark.LINK_STALE)
        return False
    if at <= user.signed_out:
        index.detach(device)
        device.since, device.left = at, user.signed_out
        remarks.append(Remark.LINK_STALE)
    else:
        index.attach(device, user)
        device.since, device.left = at, OLDEST
    _hand_over(index, device, user, rules, remarks)
    _drop_oldest(index, user, rules, remarks)
    return device.user is user


def sign_out(index: Index, device: Device, at: int) -> bool:
    """Take the device from whoever has it, with what is known of it; False: something newer is known."""
    if at < device.since:
        return False
    index.detach(device)
    device.since, device.left = at, OLDEST
    _, device.person = merging.split(device.person, at)
    return True


def sign_out_everywhere(index: Index, user: User, at: int) -> None:
    """Take all devices from a user that were linked up to the time of the call."""
    index.touch(user)
    user.signed_out = max(user.signed_out, at)
    for device in list(user.devices.values()):
        if device.since <= at:
            index.detach(device)
            device.left = at


def move_all(index: Index, source: User, target: User, rules: Rules, remarks: list[Remark]) -> None:
    """Give all devices of one user to another, with their times."""
    for device in list(source.devices.values()):
        index.attach(device, target)
    _drop_oldest(index, target, rules, remarks)


def _hand_over(index: Index, device: Device, user: User, rules: Rules, remarks: list[Remark]) -> None:
    """Let the values of the device fill the gaps of the user; those of after a sign-out are somebody else's."""
    if merging.is_blank(device.person):
        return
    values, device.person = device.person, Person()
    if device.user is None:
        values, device.person = merging.split(values, user.signed_out)
    index.touch(user)
    merging.fill_gaps(user.person, values, rules, remarks)
    index.email_changed(user)


def _drop_oldest(index: Index, user: User, rules: Rules, remarks: list[Remark]) -> None:
    while len(user.devices) > rules.max_devices_per_user:
        oldest = min(user.devices.values(), key=lambda device: (device.since, device.anonymous_id))
        index.detach(oldest)
        remarks.append(Remark.DEVICE_LIMIT)
