"""What is checked of a request that is complete, before its body is taken apart."""

import time
from typing import Final

from aiohttp import web

from streamer.core.inbound import signature
from streamer.core.inbound.signature import Coverage
from streamer.inbound.refused import RefusedError
from streamer.inbound.webhook_counts import Result
from streamer.inbound.webhook_secrets import WebhookSecrets

_BEARER: Final = "bearer "


def coverage_of(request: web.BaseRequest, body: bytes, secrets: WebhookSecrets) -> Coverage:
    """What of the body is known to come from Segment.

    Raises:
        RefusedError: the signature is missing or wrong, or the bearer token is.
    """
    secrets.refresh(time.monotonic())
    coverage = _coverage_now(request, body, secrets)
    if coverage is Coverage.NOTHING and secrets.refresh(time.monotonic(), at_once=True):
        coverage = _coverage_now(request, body, secrets)
    if coverage is Coverage.NOTHING:
        raise RefusedError(Result.BAD_SIGNATURE, 401, "the signature or the token is missing or wrong")
    return coverage


def _coverage_now(request: web.BaseRequest, body: bytes, secrets: WebhookSecrets) -> Coverage:
    signatures = request.headers.getall(signature.HEADER, ())
    if len(signatures) != 1:
        return Coverage.NOTHING
    coverage = signature.check(body, signatures[0], secrets.secrets)
    if coverage is Coverage.NOTHING or not secrets.needs_bearer_token():
        return coverage
    return Coverage.WHOLE_BODY if _has_token(request, secrets) else Coverage.NOTHING


def _has_token(request: web.BaseRequest, secrets: WebhookSecrets) -> bool:
    given = request.headers.getall("Authorization", ())
    if len(given) != 1 or given[0][: len(_BEARER)].lower() != _BEARER:
        return False
    return secrets.is_bearer_token(given[0][len(_BEARER) :].strip())


def check_content_type(request: web.BaseRequest) -> None:
    """Accept JSON and no type at all; JSON is UTF-8, so a charset says nothing.

    Raises:
        RefusedError: it is another one.
    """
    for text in request.headers.getall("Content-Type", ()):
        media_type = text.partition(";")[0].strip().lower()
        if media_type != "application/json" and not ("/" in media_type and media_type.endswith("+json")):
            raise RefusedError(Result.BAD_TYPE, 415, "Content-Type must be application/json")
