"""Product Fruits' names of its in-app events: the raw name of its scripts, the display name that Segment sees.

``product_fruits_event_names.json`` holds the pairs that the platform's documentation confirms; one is irregular.
"""

import json
from importlib import resources
from typing import Final

_CONFIRMED: Final[dict[str, str]] = json.loads(
    resources.files("streamer.core.mapping").joinpath("product_fruits_event_names.json").read_bytes()
)


def display_name(raw_name: str) -> str:
    """The display name of a raw name: the confirmed one, else its words capitalised (tour_finished: Tour Finished)."""
    confirmed = _CONFIRMED.get(raw_name)
    if confirmed is not None:
        return confirmed
    words = [word[0].upper() + word[1:] for word in raw_name.split("_") if word]
    return " ".join(words) or raw_name
