"""What a Product Fruits record says beyond the canonical form, and which of its keys have a place there."""

from typing import Final

from streamer.core.mapping.event import Page, SurveyEvent
from streamer.core.mapping.native import Document, without_home
from streamer.core.model import Json

_ANALYTICS_HOMES: Final = {
    **dict.fromkeys(("type", "projectCode", "rawName", "eventName", "timestamp", "anonymousId"), str),
    **dict.fromkeys(("data", "user", "page"), dict),
}
USER_KEYS: Final = ("username", "email")
"""Keys of a user that are no traits."""
_WEBHOOK_HOMES: Final = {"type": str, "data": dict, "anonymousId": str}
_AUTHOR_HOMES: Final = {"projectCode": str, "authorUsername": str, "authorEmail": str, "authorName": str}
_SURVEY_HOMES: Final = {**_AUTHOR_HOMES, "surveyId": str, "answers": list}
_FEEDBACK_HOMES: Final = {**_AUTHOR_HOMES, "text": str, "createdAt": str, "authorProps": dict}
_PAGE_HOMES: Final = {"url": str, "path": str, "referrer": str, "title": str}


def known_page(page: Json) -> Page | None:
    """The canonical form of a page: the page without unknown keys and nulls. Without such, the same object."""
    extra = without_home(page, _PAGE_HOMES) if page else None
    if extra:
        page = {key: value for key, value in page.items() if key not in extra}
    known: Page | None = page
    return known


def extra_of(event: SurveyEvent) -> Document:
    """Keys that the canonical form does not know, nulls, and ids that were numbers."""
    return _extra_of_analytics(event) if event.kind == "product.event" else _extra_of_webhook(event)


def _extra_of_analytics(event: SurveyEvent) -> Document:
    document = event.native
    extra = without_home(document, _ANALYTICS_HOMES)
    page_extra = without_home(document.get("page") or {}, _PAGE_HOMES)
    if page_extra:
        extra["page"] = page_extra
    user: Document = document.get("user") or {}
    user_extra = {key: user[key] for key in USER_KEYS if key in user and type(user[key]) is not str}
    if user_extra:
        extra["user"] = user_extra
    if document.get("eventName") not in {None, event.source["native_event"]}:
        extra["eventName"] = document["eventName"]
    return extra


def _extra_of_webhook(event: SurveyEvent) -> Document:
    document = event.native
    homes = _SURVEY_HOMES if event.kind == "response.submitted" else _FEEDBACK_HOMES
    extra = without_home(document, _WEBHOOK_HOMES)
    if event.occurred_at_origin == "receipt":
        del extra["receivedAt"]
    data_extra = without_home(document["data"], homes)
    if data_extra:
        extra["data"] = data_extra
    return extra
