"""Bytes -> SurveyEvent -> TrackCall, one module a dialect. `mapper.Mapper` is the way in."""
