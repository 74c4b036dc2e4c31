"""What all tests of traces need."""

import pytest


@pytest.fixture(autouse=True)
def patient_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may need longer than a service waits to hand over the last spans."""
    monkeypatch.setattr("streamer.tracing.exporting.CLOSE_SECONDS", 20.0)
