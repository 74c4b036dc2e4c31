"""What is known about the write key of a destination, whether calls may go out with it, and when to ask again.

Who can be asked is known to the destination's client alone; what it found out is a `KeyFinding`. Nothing is sent before
the first finding. Then:

- a key that does not exist, or is of another region, shuts the destination until a finding says otherwise, or until
  there is another key;
- if nothing can be found out, calls go out: a service that only informs must not stop what may work. A key that was
  found to be wrong stays wrong meanwhile.
"""

import enum
from typing import Final

RECHECK_SECONDS: Final = 3_600.0
"""How often a key that is in order is asked about."""
MAX_UNCLEAR_SECONDS: Final = 300.0
"""Longest wait after nothing could be found out. The first is 1 second; each is twice the last."""

_MAX_DOUBLINGS: Final = 16


class KeyFinding(enum.StrEnum):
    """What was found out about a write key."""

    KNOWN = "known"
    UNKNOWN = "unknown_write_key"
    """No source has it: the destination would take the events and drop them."""
    WRONG_REGION = "wrong_region"
    """Its source takes events in another region."""
    UNCLEAR = "unclear"
    """Nobody could be asked, or the answer says nothing."""


class KeyWatch:
    """What is known about the key in use.

    Attributes:
        bar: why nothing may be sent; "": because nothing was found out yet. None: calls may go out.
        wait_seconds: how long to wait before the next question.
    """

    def __init__(self, *, max_wrong_seconds: float, recheck_seconds: float = RECHECK_SECONDS) -> None:
        """Begin with a key that nothing is known about.

        Args:
            max_wrong_seconds: longest wait while the key is wrong. The first is 1 second; each is twice the last.
            recheck_seconds: how often a key that is in order is asked about.
        """
        self.bar: str | None = ""
        self.wait_seconds = 1.0
        self._max_wrong_seconds = max_wrong_seconds
        self._recheck_seconds = recheck_seconds
        self._finding: KeyFinding | None = None
        self._same_findings = 0
        self._is_key_new = True

    @property
    def is_wrong(self) -> bool:
        """Whether the key in use was found to be wrong."""
        return bool(self.bar)

    @property
    def is_unverified(self) -> bool:
        """Whether calls go out although nothing could be found out."""
        return self.bar is None and self._finding is KeyFinding.UNCLEAR

    def learn(self, finding: KeyFinding) -> None:
        """Note what was found out about the key in use."""
        self._same_findings = self._same_findings + 1 if finding is self._finding else 0
        self._finding = finding
        match finding:
            case KeyFinding.KNOWN:
                self.bar = None
            case KeyFinding.UNKNOWN | KeyFinding.WRONG_REGION:
                self.bar = finding.value
            case KeyFinding.UNCLEAR:
                self.bar = None if self._is_key_new else self.bar
        self._is_key_new = False
        if finding is KeyFinding.KNOWN:
            self.wait_seconds = self._recheck_seconds
        else:
            longest = self._max_wrong_seconds if self.is_wrong else MAX_UNCLEAR_SECONDS
            self.wait_seconds = min(2.0 ** min(self._same_findings, _MAX_DOUBLINGS), longest)

    def key_changed(self) -> None:
        """There is another key, about which nothing is known yet. Nothing may be sent before the next finding."""
        self.bar = self.bar or ""
        self._is_key_new = True
        self._same_findings = 0
