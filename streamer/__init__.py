"""streamer: survey events from Kafka to Segment, committed only after delivery."""

from typing import Final

DISTRIBUTION: Final = "survey-streamer"
"""Name of the package that installs streamer. ``streamer`` on the package index is an unrelated project."""

__version__: str


def __getattr__(name: str) -> str:
    """``__version__``, looked up when somebody asks: that takes longer than all else before signals are caught."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version  # noqa: PLC0415 - see above

    globals()[name] = version(DISTRIBUTION)
    return str(globals()[name])
