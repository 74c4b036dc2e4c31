"""Receives Segment's webhooks and writes each call to Kafka: ``POST /webhooks/segment/<name>``.

A request is answered with 200 once the brokers have confirmed a record of each of its calls, or a dead letter where the
call does not fit. What the calls say is nobody's concern here: that is found out when they are read from the topic. The
checks come in the order of `Listener._receive`; the first that fails answers.
"""

import asyncio
import time
from collections import Counter
from typing import Final

from aiohttp import web

from streamer.core.errors import UnavailableError
from streamer.core.inbound.body import BodyFault, split
from streamer.core.inbound.incoming import Incoming
from streamer.inbound.call_writer import CallWriter, RecordPublisher
from streamer.inbound.checks import check_content_type, coverage_of
from streamer.inbound.connections import Connections, answer, connection_of
from streamer.inbound.open_bytes import OpenBytes, Share
from streamer.inbound.receiving import receive
from streamer.inbound.refused import NEXT_STEPS, RETRIED, RefusedError, busy, late, too_large
from streamer.inbound.webhook_counts import OTHER, Result, WebhookCounts
from streamer.inbound.webhook_secrets import WebhookSecrets
from streamer.listening import listen_on
from streamer.logs import Event, logger
from streamer.settings.inbound import InboundSettings
from streamer.status import Reload
from streamer.timings import PRODUCTION, Timings

PATH: Final = "/webhooks/segment/"

LISTEN_BACKLOG: Final = 1_024
"""Connections that may wait in the kernel until they are accepted."""

STOP_SECONDS: Final = 1.0
"""How long requests in progress may take after `Listener.drain`."""


class Listener:
    """The webhooks of the configuration, from `start` to `stop`."""

    def __init__(self, settings: InboundSettings, publisher: RecordPublisher, timings: Timings = PRODUCTION) -> None:
        """Prepare; nothing is read or listened on before `start`.

        Args:
            settings: ``inbound``; its ``listen`` must be set.
            publisher: writes the records, and dead letters of calls that do not fit.
            timings: how long a request may take to come, and its records to be confirmed.
        """
        assert settings.listen is not None, "a process that receives no webhooks has no listener"
        self._settings = settings
        self._address = settings.listen
        self._writer = CallWriter(settings, publisher, timeout_seconds=timings.publish)
        self._timings = timings
        self._secrets: dict[str, WebhookSecrets] = {}
        self._open_bytes = OpenBytes(settings.limits.max_open_bytes)
        self._runner: web.ServerRunner | None = None
        self._watching: asyncio.Task[None] | None = None
        self._in_progress = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.is_draining = False
        self.counts = WebhookCounts(settings.webhooks)
        self.port = self._address.port
        """The port that is listened on, once started."""

    @property
    def open_bytes(self) -> int:
        """Bytes of bodies that are received and not answered."""
        return self._open_bytes.held

    @property
    def secret_reloads(self) -> Counter[Reload]:
        """How often files of secrets were read again, if they had changed or could not be read."""
        return sum((secrets.reloads for secrets in self._secrets.values()), Counter())

    async def start(self) -> None:
        """Read the secrets, and listen.

        Raises:
            UnavailableError: a secret cannot be read, or the address cannot be listened on.
        """
        every = self._timings.secrets_every
        for name, webhook in self._settings.webhooks.items():
            self._secrets[name] = WebhookSecrets(name, webhook, look_every_seconds=every)
        connections = Connections(
            self._answer, request_seconds=self._timings.request_complete, on_late=self._note_late_headers
        )
        runner = web.ServerRunner(connections, shutdown_timeout=STOP_SECONDS)
        host, port = self._address.host, self._address.port
        try:
            self.port = await listen_on(runner, host, port, backlog=LISTEN_BACKLOG)
        except OSError as error:
            raise UnavailableError(
                f"cannot listen on {host}:{port} ({error.strerror or error}). No webhook was received. Stop the"
                " program that listens there, or set inbound.listen.host and inbound.listen.port (port 0: any free one)"
            ) from error
        self._runner = runner
        self._watching = asyncio.create_task(connections.watch(), name="watch over connections")
        logger().emit(Event.WEBHOOKS_LISTENING, host=host, port=self.port)

    async def drain(self) -> None:
        """Answer new requests with 503, and wait until those in progress are answered."""
        self.is_draining = True
        try:
            async with asyncio.timeout(self._timings.request_complete + self._timings.publish):
                await self._idle.wait()
        except TimeoutError:
            logger().emit(Event.WEBHOOKS_UNANSWERED, requests=self._in_progress)

    async def stop(self) -> None:
        """Stop listening, and close the connections."""
        self.is_draining = True
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.wait({watching})
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, count it, and say what became of it."""
        connection = connection_of(request)
        name = request.path.removeprefix(PATH) if request.path.startswith(PATH) else ""
        webhook = name if name in self._secrets else OTHER
        began_at = time.monotonic()
        self._in_progress += 1
        self._idle.clear()
        try:
            with self._open_bytes.share() as share:
                calls = await self._receive(request, webhook, share)
        except RefusedError as refused:
            self._note_refused(webhook, refused, time.monotonic() - began_at)
            response = answer(refused.status, {"message": refused.message}, headers=refused.headers)
            if refused.must_close:
                response.force_close()
        except ConnectionError:
            return web.Response(status=499)  # nobody reads it: the sender is gone
        else:
            seconds = time.monotonic() - began_at
            self.counts.note(webhook, Result.ACCEPTED, seconds)
            logger().emit(Event.WEBHOOK_ACCEPTED, webhook=webhook, calls=calls, duration_seconds=round(seconds, 4))
            response = answer(200, {"accepted": calls})
        finally:
            connection.answered()
            self._in_progress -= 1
            if not self._in_progress:
                self._idle.set()
        if self.is_draining:
            response.force_close()
        return response

    async def _receive(self, request: web.BaseRequest, webhook: str, share: Share) -> int:
        """Check a request and write its calls; returns how many there are.

        Raises:
            RefusedError: by the first check that fails.
            ConnectionError: the sender is gone.
        """
        if webhook == OTHER:
            raise RefusedError(Result.UNKNOWN_WEBHOOK, 404, "there is no such webhook")
        if request.method != "POST":
            raise RefusedError(Result.BAD_METHOD, 405, "only POST is answered", headers={"Allow": "POST"})
        if self.is_draining:
            raise busy("streamer is stopping; send the request again")
        if self._open_bytes.is_full:
            raise busy("too many bytes are in progress; send the request again")
        connection = connection_of(request)
        body = await receive(
            request, share, deadline=connection.deadline, max_bytes=self._settings.limits.max_body_bytes
        )
        connection.received()
        calls = self._calls_of(request, webhook, body)
        del body  # each call has a copy of its part
        await self._writer.write(calls)
        for call in calls:
            self.counts.calls[webhook, call.is_authenticated] += 1
        return len(calls)

    def _calls_of(self, request: web.BaseRequest, webhook: str, body: bytes) -> list[Incoming]:
        limits = self._settings.limits
        received_ms = time.time_ns() // 1_000_000
        coverage = coverage_of(request, body, self._secrets[webhook])
        check_content_type(request)
        values = split(body, limits.max_calls)
        if values is BodyFault.TOO_MANY_CALLS:
            raise too_large(f"there are more than {limits.max_calls} calls (inbound.limits.max_calls)")
        if isinstance(values, BodyFault):
            raise RefusedError(Result.BAD_JSON, 400, values.value)
        if len(values) == 1 and len(values[0]) > limits.max_call_bytes:
            raise too_large(f"the call is larger than {limits.max_call_bytes} bytes (inbound.limits.max_call_bytes)")
        return [
            Incoming(
                value=value,
                webhook=webhook,
                received_ms=received_ms,
                is_authenticated=coverage.covers(index),
                index=index,
                calls=len(values),
            )
            for index, value in enumerate(values)
        ]

    def _note_late_headers(self) -> None:
        self._note_refused(OTHER, late(), self._timings.request_complete)

    def _note_refused(self, webhook: str, refused: RefusedError, duration_seconds: float) -> None:
        result = refused.result
        self.counts.note(webhook, result, duration_seconds)
        logger().emit(
            Event.WEBHOOK_REJECTED,
            webhook=webhook,
            reason=result.value,
            status=refused.status,
            detail=refused.detail,
            data_at_risk="no" if result in RETRIED else "yes",
            next_step=NEXT_STEPS[result],
        )
