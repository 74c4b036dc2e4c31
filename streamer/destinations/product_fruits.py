"""Product Fruits' API: its 404 is about the user.

Until the API has accepted something, a 404 may as well be that of a wrong address, and counts as one.
"""

from http import HTTPStatus

from streamer.core.delivery.answers import Answer, AnswerKind
from streamer.core.pushing.request import ApiRequest
from streamer.destinations.bearer_api import BearerClient
from streamer.settings import DestinationSettings


def open_product_fruits(settings: DestinationSettings) -> BearerClient:
    """The client; nothing is sent yet. Raises `UnavailableError` as `BearerClient` does."""
    return BearerClient(settings, judge)


def judge(request: ApiRequest, answer: Answer) -> AnswerKind:
    """What an answer means: who is not there need not be deleted, and who is not there yet may come with a profile."""
    if answer.status != HTTPStatus.NOT_FOUND:
        return answer.kind
    if request.method == "DELETE":
        return AnswerKind.ACCEPTED
    return AnswerKind.UNHAPPY if request.path == "/v1/events/track" else answer.kind
