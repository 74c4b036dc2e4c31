"""Sprig's API: its documented statuses (403 for a bad key, 404, 429, 500) mean what they mean everywhere."""

from streamer.core.delivery.answers import Answer, AnswerKind
from streamer.core.pushing.request import ApiRequest
from streamer.destinations.bearer_api import BearerClient
from streamer.settings import DestinationSettings


def open_sprig(settings: DestinationSettings) -> BearerClient:
    """The client; nothing is sent yet. Raises `UnavailableError` as `BearerClient` does."""
    return BearerClient(settings, judge)


def judge(_request: ApiRequest, answer: Answer) -> AnswerKind:
    """What an answer means."""
    return answer.kind
