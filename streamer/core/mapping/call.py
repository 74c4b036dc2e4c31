"""The Segment call that a dialect writes, as a typed document."""

from typing import Literal, Required, TypedDict

from streamer.core.mapping.event import Page
from streamer.core.model import Json


class CallIntegration(TypedDict):
    """Who makes the call, as Segment's partners state it."""

    name: str
    version: str


class CallContext(TypedDict, total=False):
    """Where it happened, under Segment's names."""

    integration: CallIntegration
    page: Page
    locale: str
    userAgent: str
    traits: dict[str, Json]


class Call(TypedDict, total=False):
    """A track call.

    Keys are sent in the order in which they are set. A dialect sets all but ``messageId``, which `Mapper` adds;
    ``userId`` and ``anonymousId`` are absent where the person has none. ``sentAt`` belongs to the request, not to the
    call.
    """

    type: Required[Literal["track"]]
    event: Required[str]
    userId: str
    anonymousId: str
    timestamp: str
    context: CallContext
    properties: dict[str, Json]
    messageId: str
