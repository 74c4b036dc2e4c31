"""Which commit of the source this is. The version alone says it for a release only.

A wheel of `make release` has it in `COMMIT`, an image in the variable STREAMER_COMMIT, a checkout in its repository.
"""

import functools
import os
import subprocess
from pathlib import Path
from typing import Final

COMMIT: Final = ""
"""The commit that a wheel was built from: `make release` writes it into the copy that it builds."""

UNKNOWN: Final = "unknown"
_DIGITS: Final = 12
_GIT_SECONDS: Final = 2.0


@functools.cache
def commit() -> str:
    """Its first 12 digits, or "unknown". Only in a checkout git is asked, and once."""
    told = os.environ.get("STREAMER_COMMIT", "")
    known = (told if told != UNKNOWN else "") or COMMIT or _of_checkout(Path(__file__).parents[1])
    return known[:_DIGITS] or UNKNOWN


def _of_checkout(root: Path) -> str:
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - whichever git made the checkout
            cwd=root,
            check=False,
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
