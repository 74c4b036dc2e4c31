"""Where the parts of the playground are, and what to try with them."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from streamer.devkit.demo.events import BROKEN, INTEGRATIONS, steady_events
from streamer.devkit.demo.playground import Playground
from streamer.devkit.demo.showing import show, show_line

SAMPLES: Final = 30
"""Sample events that are written to the files to send; each file gets one that is broken as well."""

FIRST_SAMPLE: Final = 1_000_000
"""Index of the first of them: far above those that the demo produces itself, so that they are no duplicates."""

FAULT: Final = '[{"for_seconds": 20, "action": {"status": 503}}]'


def show_places(ground: Playground) -> None:
    """Print the addresses, and five commands that work while the playground is up."""
    files = write_samples(ground.config.parent)
    show()
    for name, place in (
        ("Kafka", ground.kafka),
        ("page of the service", f"{ground.service.url}/"),
        ("status of the service", f"{ground.service.url}/status"),
        ("debugger of the local Segment", f"{ground.sandbox.url}/"),
        ("configuration", str(ground.config)),
        ("log of the service", str(ground.service.log_path)),
    ):
        show_line(f"{name:<30} {place}")
    show()
    show("Five commands to try, in another terminal, after the first line:")
    show_line(f"  export STREAMER_CONFIG={shlex.quote(str(ground.config))}")
    for command in commands(ground, files["sprig"]):
        show_line(f"  {command}")
    show()
    show("Everything runs until Ctrl-C, and is deleted then.")


def write_samples(directory: Path) -> dict[str, Path]:
    """Write a file with sample events for each platform, one a line, and return their paths by integration."""
    files = {name: directory / f"{name}.jsonl" for name in INTEGRATIONS}
    samples = list(steady_events(SAMPLES, first=FIRST_SAMPLE))
    for name, path in files.items():
        values = [*(event.value for event in samples if event.integration == name), BROKEN]
        path.write_bytes(b"".join(value + b"\n" for value in values))
    return files


def commands(ground: Playground, events: Path) -> list[str]:
    """Commands to paste into a shell in which ``STREAMER_CONFIG`` names the configuration."""
    streamer, file = shlex.quote(own_command()), shlex.quote(str(events))
    return [
        f"{streamer} map --integration sprig {file}",
        f"{streamer} send sprig {file}",
        f"{streamer} dlq ls",
        f"{streamer} check --connect",
        f"curl -X PUT {ground.sandbox.url}/_sandbox/faults -d '{FAULT}'",
    ]


def own_command() -> str:
    """How a shell in this directory finds the command that runs now."""
    beside = Path(sys.executable).with_name("streamer")
    found = shutil.which("streamer")
    if not beside.exists() or (found is not None and Path(found).resolve() == beside.resolve()):
        return "streamer"
    relative = os.path.relpath(beside)
    return relative if not relative.startswith("..") else str(beside)
