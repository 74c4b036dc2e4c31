"""From where the fields of getuserfeedback.com's events and calls come. The rules are in `getuserfeedback.py`."""

from collections.abc import Sequence
from typing import Final

from streamer.core.mapping.event import SurveyEvent
from streamer.core.mapping.origin import ANONYMOUS, ID_RULE, USER, Origin, origin

_OF_EVENT: Final = (
    origin("/event_id", "The platform's own `messageId`.", "/messageId"),
    origin("/source/native_event", "", "/event"),
    origin("/source/organization_id", ID_RULE, "/properties/organization_id"),
    origin("/source/app_id", ID_RULE, "/properties/app_id"),
    origin("/occurred_at", "The platform's time of the event.", "/timestamp"),
    origin("/subject/user_id", ID_RULE, "/userId"),
    origin("/subject/anonymous_id", ID_RULE, "/anonymousId"),
    origin("/subject/traits", "", "/properties/traits"),
    origin("/subject/identities", "", "/properties/identities"),
    origin("/survey/id", ID_RULE, "/properties/survey_id"),
    origin("/response/id", ID_RULE, "/properties/response_id"),
    origin("/references", "", "/properties/references"),
    origin("/context", "", "/context"),
)
_OF_CALL: Final = (
    origin("/event", "The name of the step, as the platform writes it.", "/source/native_event"),
    origin("/userId", USER, "/subject/user_id"),
    origin("/anonymousId", ANONYMOUS, "/subject/anonymous_id"),
    origin("/context", "Where it happened; the record says nothing of it."),
    origin("/context/page", "Of the page, `path` and `referrer` are sent.", "/context/page"),
    origin("/context/locale", "The language of the person.", "/context/locale"),
    origin("/properties", "The properties; the record has none that is sent."),
    origin("/properties/response_id", "The id of the response.", "/response/id"),
    origin("/properties/survey_id", "The id of the survey.", "/survey/id"),
    origin("/properties/app_id", "The id of the app.", "/source/app_id"),
    origin("/properties/organization_id", "The id of the organization.", "/source/organization_id"),
    origin("/properties/traits", "What is known of the person.", "/subject/traits"),
    origin("/properties/identities", "The identifiers of the person.", "/subject/identities"),
    origin("/properties/references", "What the event refers to.", "/references"),
)


def event_origins(_event: SurveyEvent) -> Sequence[Origin]:
    """Of the fields of an event, out of its record."""
    return _OF_EVENT


def call_origins(_event: SurveyEvent, _settings: None) -> Sequence[Origin]:
    """Of the fields of the call, out of its event."""
    return _OF_CALL
