"""Old names that lead to a user."""

from streamer.core.inbound.call import Remark
from streamer.core.inbound.directory import User
from streamer.core.inbound.index import Index
from streamer.core.inbound.rules import Rules


def redirect(index: Index, name: str, user: User, at: int, rules: Rules, remarks: list[Remark]) -> None:
    """Let an old name lead to the user. Over the limit, the oldest of their redirects goes."""
    index.redirect(name, user, at)
    while len(user.redirects) > rules.max_redirects_per_user:
        oldest = min(user.redirects, key=lambda old: (user.redirects[old], old))
        index.drop_redirect(oldest)
        remarks.append(Remark.REDIRECT_LIMIT)
