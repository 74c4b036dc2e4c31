"""Alias calls: a user gets another name, two users become one, or a device gets its user."""

from streamer.core.inbound import links, merging
from streamer.core.inbound.call import Call, IgnoredReason, MatchedBy, Remark
from streamer.core.inbound.directory import User
from streamer.core.inbound.index import Index
from streamer.core.inbound.rules import Rules


class Alias:
    """One alias call and how it is applied.

    ``userId`` is the new name. The previous one is a user, a device, or unknown; without one, it is the user of the
    device that sent the call.
    """

    def __init__(self, index: Index, call: Call, user_id: str, rules: Rules, remarks: list[Remark]) -> None:
        self._index = index
        self._call = call
        self._user_id = user_id
        self._rules = rules
        self._remarks = remarks
        self.by = MatchedBy.NONE
        self.linked = False

    def apply(self) -> User | IgnoredReason:
        """The user that results, or why the call is ignored."""
        call = self._call
        target = self._index.find(self._user_id)
        previous = self._index.find(call.previous_id) if call.previous_id is not None else self._user_of_device()
        if call.previous_id == self._user_id or (previous is not None and previous is target):
            return IgnoredReason.ALIAS_SAME_USER
        is_device = previous is None and self._names_device()
        if self._is_deleted(target, None if is_device else call.previous_id):
            return IgnoredReason.DELETED
        self.by = MatchedBy.DEVICE if call.previous_id is None else MatchedBy.USER_ID
        if previous is None:
            user = self._keep_or_create(target, is_device=is_device)
        elif target is None:
            user = self._rename(previous)
        else:
            user = self._merge(previous, target)
        for anonymous_id in dict.fromkeys((call.previous_id if is_device else None, call.anonymous_id)):
            if anonymous_id is not None:
                device = self._index.device(anonymous_id)
                self.linked = links.link(self._index, device, user, call.at, self._rules, self._remarks)
        return user

    def _user_of_device(self) -> User | None:
        if self._call.anonymous_id is None:
            return None
        device = self._index.device(self._call.anonymous_id)
        return device.user if device.since <= self._call.at else None

    def _names_device(self) -> bool:
        previous_id = self._call.previous_id
        return previous_id is not None and (
            previous_id == self._call.anonymous_id or previous_id in self._index.devices
        )

    def _is_deleted(self, target: User | None, previous_id: str | None) -> bool:
        """Whether an id that the call would create or redirect was deleted since."""
        ids = (self._user_id if target is None else None, previous_id)
        return any(self._index.is_deleted(name, self._call.at) for name in ids if name is not None)

    def _keep_or_create(self, target: User | None, *, is_device: bool) -> User:
        user = target
        if user is None:
            self.by = MatchedBy.CREATED
            user = self._index.create(self._user_id)
            user.named = self._call.at
        else:
            self.by = MatchedBy.USER_ID
        if self._call.previous_id is not None and not is_device:
            self._redirect(self._call.previous_id, user)
        if not is_device and (self._call.previous_id is not None or self._call.anonymous_id is None):
            self._remarks.append(Remark.ALIAS_UNKNOWN_PREVIOUS)
        return user

    def _rename(self, user: User) -> User:
        if self._call.at < user.named:
            self._remarks.append(Remark.ALIAS_STALE)
            self._redirect(self._user_id, user)
            return user
        before = user.username
        self._index.rename(user, self._user_id)
        user.named = self._call.at
        self._redirect(before, user)
        return user

    def _merge(self, source: User, target: User) -> User:
        index = self._index
        self._remarks.append(Remark.ALIAS_MERGE)
        index.touch(target)
        merging.fill_gaps(target.person, source.person, self._rules, self._remarks)
        target.signed_out = max(target.signed_out, source.signed_out)
        links.move_all(index, source, target, self._rules, self._remarks)
        for name, at in list(source.redirects.items()):
            index.redirect(name, target, at)
        index.remove(source, into=target)
        index.email_changed(target)
        self._redirect(source.username, target)
        return target

    def _redirect(self, name: str, user: User) -> None:
        self._index.redirect(name, user, self._call.at)
        while len(user.redirects) > self._rules.max_redirects_per_user:
            oldest = min(user.redirects, key=lambda old: (user.redirects[old], old))
            self._index.drop_redirect(oldest)
            self._remarks.append(Remark.REDIRECT_LIMIT)
