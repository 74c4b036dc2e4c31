"""What the benchmark ran on, and what it measured."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psutil

from streamer import __version__

LIBRARIES: Final = ("aiokafka", "aiohttp", "orjson", "jsonschema-rs", "isal", "lmdb", "uvloop")

MAX_IDLE_LOAD: Final = 0.35
"""Load average above which, for each core, others are at work."""

ROOT: Final = Path(__file__).parent.parent


def facts() -> dict[str, str]:
    """Names and values for people. Figures from machines whose facts differ cannot be compared."""
    return {
        "machine": f"{os.cpu_count()} cores of {_processor()}, {psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        "streamer": f"{__version__}, commit {_commit()}",
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def warnings() -> list[str]:
    """What may spoil figures that are measured now."""
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    found = []
    if load > MAX_IDLE_LOAD * cores:
        found.append(f"the machine was busy at the start: load {load:.2f} on {cores} cores")
    if cores < 2:  # noqa: PLR2004 - streamer takes one, the broker and the receiver share another
        found.append("one core only: streamer, the broker and the receiver take it from each other")
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "an unknown processor"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    try:
        head = _git("rev-parse", "--short", "HEAD")
        return f"{head} and changes" if _git("status", "--porcelain", "--", "streamer") else head
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
