"""Where events are, as far as this instance knows: its receipts, and the records that it has open.

    /events/{messageId}                         of all integrations: receipt, or where it is on its way
    /receipts/{integration}?digests=HEX,HEX     which messageIds were delivered, by their digests

Both show ids, places, times and statuses, and nothing else of a record. `streamer.core.delivery.found` lists where an
open record can be.
"""

import os
import socket
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import orjson
from aiohttp import web

from streamer.core.delivery.found import Found, OpenStage
from streamer.core.records.pending_letter import PendingLetter
from streamer.integration import Integration
from streamer.pipeline.delivery import Delivery
from streamer.receipts import digest_of

MAX_DIGESTS: Final = 200
"""Most digests of one question: they stand in its address, which servers limit to about 8,000 characters."""

DIGEST_BYTES: Final = 16

Document = dict[str, Any]


class HasIntegrations(Protocol):
    """The service, as far as it is asked."""

    @property
    def integrations(self) -> Mapping[str, Integration]:
        """By name, as they are now."""


class Whereabouts:
    """Answers questions about single events."""

    def __init__(self, service: HasIntegrations) -> None:
        self._service = service

    def add_routes(self, application: web.Application) -> None:
        """Serve the answers."""
        application.router.add_get("/events/{message_id:.+}", self._get_event)
        application.router.add_get("/receipts/{integration}", self._get_receipts)

    async def _get_event(self, request: web.Request) -> web.Response:
        message_id = request.match_info["message_id"]
        found = [
            {"integration": name, "message_id": own_id, **where}
            for name, integration in self._service.integrations.items()
            for own_id in _ids(message_id, integration.destination.settings.message_id_suffix)
            for where in _where(integration, own_id)
        ]
        return _json({"instance": _instance(), "message_id": message_id, "events": found})

    async def _get_receipts(self, request: web.Request) -> web.Response:
        integration = self._service.integrations.get(request.match_info["integration"])
        if integration is None:
            return web.Response(status=404, text="there is no integration of this name\n")
        try:
            digests = [bytes.fromhex(text) for text in request.query.get("digests", "").split(",") if text]
        except ValueError:
            digests = [b""]
        if len(digests) > MAX_DIGESTS or any(len(digest) != DIGEST_BYTES for digest in digests):
            return web.Response(status=400, text=f"digests: at most {MAX_DIGESTS}, of 32 hexadecimal digits each\n")
        now, receipts = time.time(), integration.receipts
        found = {
            digest.hex(): {
                "topic": place.topic,
                "partition": place.partition,
                "offset": place.offset,
                "delivered_at": delivered_at,
            }
            for digest, (place, delivered_at) in receipts.look_up(digests, now).items()
        }
        return _json({"instance": _instance(), "known_since": receipts.window_start(now), "receipts": found})


def _ids(message_id: str, suffix: str) -> list[str]:
    """The id as it was sent, and the one that a producer means who does not know of the suffix."""
    return [message_id, message_id + suffix] if suffix else [message_id]


def _where(integration: Integration, message_id: str) -> Iterator[Document]:
    """The receipt of a messageId, and its open records."""
    digest = digest_of(message_id)
    for place, delivered_at in integration.receipts.look_up([digest], time.time()).values():
        yield {
            "state": "delivered",
            "topic": place.topic,
            "partition": place.partition,
            "offset": place.offset,
            "delivered_at": _utc(delivered_at),
        }
    pipeline = integration.runner.pipeline
    if pipeline is None:
        return
    letters = [letter for letter in pipeline.dead_letters if letter.message_id == message_id]
    for letter in letters:
        yield _letter(letter, is_guarded=pipeline.is_guarded)
    if isinstance(pipeline.worker, Delivery):
        set_aside = {letter.opened for letter in letters}
        for found in pipeline.worker.find(message_id):
            if found.record not in set_aside:
                yield _open(found, integration)


def _letter(letter: PendingLetter, *, is_guarded: bool) -> Document:
    record = letter.record
    return {
        "state": OpenStage.DEAD_LETTERING,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "time": _utc(record.timestamp / 1000),
        "reason": letter.reason,
        "guarded": is_guarded,
    }


def _open(found: Found, integration: Integration) -> Document:
    topic, partition, offset = found.record.place
    document: Document = {
        "state": found.stage,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "time": _utc(found.record.record.timestamp / 1000),
        "attempts": found.record.attempts,
    }
    if found.last_error:
        document["last_error"] = found.last_error
    if found.due is not None:
        document["until"] = _utc(time.time() + found.due - time.monotonic())
    destination = integration.destination
    return document | {
        "destination": {
            "name": destination.name,
            "state": destination.state,
            "reason": destination.status.reason,
        }
    }


def _instance() -> str:
    return f"{socket.gethostname()}, process {os.getpid()}"


def _utc(epoch_seconds: float) -> str | None:
    """A time as RFC 3339; None: there is no such time."""
    try:
        instant = datetime.fromtimestamp(epoch_seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(document: Document) -> web.Response:
    body = orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_INDENT_2)
    return web.Response(body=body, content_type="application/json")
