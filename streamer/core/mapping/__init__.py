"""Bytes -> SurveyEvent -> TrackCall, one module a dialect."""
