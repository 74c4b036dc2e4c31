"""A Segment-compatible receiver for trying and testing."""
