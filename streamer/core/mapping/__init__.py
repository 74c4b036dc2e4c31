"""Bytes -> SurveyEvent -> TrackCall, one module per dialect. `Mapper` is the way in."""

from streamer.core.mapping.mapper import Mapper

__all__ = ["Mapper"]
