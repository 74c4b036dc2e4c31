"""The contract with producers: one JSON Schema per dialect form, packaged as ``streamer.schemas``."""
