"""The secrets of one webhook. Those in files are read again when the files change, without a restart."""

import hmac
from collections import Counter
from pathlib import Path

from streamer.core.errors import UnavailableError
from streamer.logs import Event, logger
from streamer.settings.inbound import WebhookSettings
from streamer.status import Reload

_Mark = tuple[int, int, int]
"""What changes with a file: its inode, the time of its last change in nanoseconds, its size."""


class WebhookSecrets:
    """The secrets in force: the last ones that could be read."""

    def __init__(self, name: str, settings: WebhookSettings, *, look_every_seconds: float) -> None:
        """Read them for the first time.

        Args:
            name: of the webhook.
            settings: of the webhook.
            look_every_seconds: how often it is looked at most whether a file has changed.

        Raises:
            UnavailableError: a file cannot be read, or holds no secret.
        """
        self._name = name
        self._settings = settings
        self._look_every_seconds = look_every_seconds
        self._looked_at = float("-inf")
        self._files = [path for path in (settings.secrets_file, settings.bearer_token_file) if path is not None]
        self._marks: list[_Mark | None] = []
        self._has_told = False
        self.reloads: Counter[Reload] = Counter()
        """How often they were read again."""
        self.secrets: tuple[str, ...]
        self._bearer_token: bytes | None
        self._read()

    def refresh(self, now: float, *, at_once: bool = False) -> bool:
        """Read files again that have changed.

        Args:
            now: monotonic seconds.
            at_once: look even if that was done a moment ago: a check failed, and the reason may be a new secret.

        Returns:
            Whether they were read again.
        """
        if not self._files or (now - self._looked_at < self._look_every_seconds and not at_once):
            return False
        self._looked_at = now
        if [_mark(path) for path in self._files] == self._marks:
            return False
        try:
            self._read()
        except UnavailableError as error:
            if not self._has_told:
                logger().emit(Event.WEBHOOK_SECRETS_UNREADABLE, webhook=self._name, detail=str(error))
            self._has_told = True
            self.reloads[Reload.FAILED] += 1
            return False
        self._has_told = False
        self.reloads[Reload.APPLIED] += 1
        return True

    def needs_bearer_token(self) -> bool:
        """Whether requests must carry a token as well."""
        return self._bearer_token is not None

    def is_bearer_token(self, text: str) -> bool:
        """Whether a token is the right one; takes as long whatever is wrong with it."""
        assert self._bearer_token is not None, "one is asked for"
        return hmac.compare_digest(text.encode(errors="surrogateescape"), self._bearer_token)

    def _read(self) -> None:
        marks = [_mark(path) for path in self._files]  # before: a change meanwhile is noticed the next time
        secrets = self._settings.read_secrets()
        if not secrets:
            raise UnavailableError(f"secrets_file {self._settings.secrets_file} is empty; put a secret in it")
        token = self._settings.read_bearer_token()
        if token == "":
            raise UnavailableError(
                f"bearer_token_file {self._settings.bearer_token_file} is empty; put the token in it"
            )
        self.secrets = secrets
        self._bearer_token = None if token is None else token.encode()
        self._marks = list(marks)


def _mark(path: Path) -> _Mark | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
