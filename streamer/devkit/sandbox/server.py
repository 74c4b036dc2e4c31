"""The HTTP server of the sandbox: reads, judges and records requests, and answers or fails as scripted."""

import asyncio
import logging
import socket
import struct
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from aiohttp import web

from streamer.core.errors import SettingsError, UnavailableError
from streamer.core.model import Json
from streamer.devkit.sandbox.access import guarded, is_loopback
from streamer.devkit.sandbox.admin import Admin
from streamer.devkit.sandbox.answers import (
    CALL_PATHS,
    MAX_BODY_BYTES,
    NO_REPLY,
    SUCCESS,
    TOO_LARGE,
    Judgement,
    Received,
    Reply,
    answer_settings,
    judge,
    read_request,
    refuse,
)
from streamer.devkit.sandbox.debugger.routes import Debugger
from streamer.devkit.sandbox.debugger.tail import Tail
from streamer.devkit.sandbox.fault_script import FaultScript
from streamer.devkit.sandbox.faults import Action, Fault
from streamer.devkit.sandbox.platform_routes import Platforms
from streamer.devkit.sandbox.record import DEDUP_WINDOW_SECONDS, MAX_IDS, SandboxRecord, Verdict
from streamer.devkit.sandbox.record_file import RecordFile
from streamer.devkit.sandbox.sources import Source, Sources
from streamer.devkit.sandbox.webhook import WebhookDestination

STOP_SECONDS: Final = 1.0
"""How long `Sandbox.stop` waits for answers in progress."""

RESET_LINGER: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 s: closing the socket sends a reset."""

CUT_BYTES: Final = 20
"""How many bytes of a cut body are missing."""

log = logging.getLogger(__name__)


class Sandbox:
    """A Segment-compatible receiver on a local port, with stand-ins for the APIs of survey platforms.

    Args:
        required_keys: the only write keys that are not answered 401; None: no plausible key is, as at Segment.
        known_keys: the only write keys that a source has; the calls under another one are swallowed after a 200, as at
            Segment. None: there is a source for every key.
        region: ``us`` or ``eu``, which the settings of the sources name. The sandbox cannot see to which region a call
            was sent, so it takes all of them.
        faults: the script to begin with.
        record_path: file to which each received call is appended, in the form of `record_file`.
        max_ids: see `SandboxRecord`.
        dedup_window_seconds: see `SandboxRecord`.
        clock: seconds since the epoch, for the record and its window.
        webhook: where accepted calls are forwarded to; None: nowhere. It runs as long as the sandbox does.
    """

    def __init__(
        self,
        *,
        required_keys: Collection[str] | None = None,
        known_keys: Collection[str] | None = None,
        region: str = "us",
        faults: Iterable[Fault] = (),
        record_path: Path | None = None,
        max_ids: int = MAX_IDS,
        dedup_window_seconds: float = DEDUP_WINDOW_SECONDS,
        clock: Callable[[], float] = time.time,
        webhook: WebhookDestination | None = None,
    ) -> None:
        self.record = SandboxRecord(max_ids=max_ids, dedup_window_seconds=dedup_window_seconds)
        self.faults = FaultScript(faults)
        self.platforms = Platforms(self.faults, required_keys, self._respond)
        self.sources = Sources()
        """The records that calls were made from, as far as somebody told."""
        self.url = ""
        self._required_keys = required_keys
        self._known_keys = known_keys
        self._region = region
        self._record_path = record_path
        self._record_file: RecordFile | None = None
        self._clock = clock
        self.webhook = webhook
        self._runner: web.AppRunner | None = None
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, allow_remote: bool = False) -> None:
        """Listen; `url` has the address afterwards.

        Args:
            host: the address to listen on.
            port: 0: any free one.
            allow_remote: whether other machines may reach the address.

        Raises:
            SettingsError: ``host`` is not a loopback address, and ``allow_remote`` is not set.
            UnavailableError: the address cannot be listened on, or the record file cannot be opened.
        """
        assert self._runner is None, "started twice"
        if not (allow_remote or is_loopback(host)):
            raise SettingsError(
                [f"{host} is not a loopback address, and the sandbox has no password: others could read and change it"]
            )
        self._stopping.clear()
        try:
            self._record_file = RecordFile(self._record_path) if self._record_path else None
            self._runner = self._make_runner(allow_remote=allow_remote)
            await self._runner.setup()
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self.stop()
            raise UnavailableError(
                f"the sandbox cannot start on {host}:{port}: {error.strerror or error}; set another --port or --record"
            ) from error
        if self.webhook is not None:
            await self.webhook.start()
        name, bound_port = self._runner.addresses[0][:2]
        self.url = f"http://[{name}]:{bound_port}" if ":" in name else f"http://{name}:{bound_port}"

    async def stop(self) -> None:
        """Stop listening. Hanging requests are reset, waiting ones are answered now. `start` may be called again.

        The record stays, and with it the memory of messageIds.
        """
        self._stopping.set()
        if self.webhook is not None:
            await self.webhook.stop()
        if self._runner:
            await self._runner.cleanup()
            self._runner = None
        if self._record_file:
            self._record_file.close()
            self._record_file = None

    async def until(self, reached: Callable[[SandboxRecord], bool]) -> None:
        """Wait until the record is as wanted; checked whenever a request is recorded or ends. Set a timeout outside."""
        while not reached(self.record):
            await self._changed.wait()

    def tell_source(self, message_id: str, topic: str, partition: int, offset: int, value: Json = None) -> None:
        """Say which record a call was or will be made from; the debugger shows the call beside it.

        Args:
            message_id: of the call.
            topic: where the record lies.
            partition: where the record lies.
            offset: where the record lies.
            value: the record's value, decoded; None: unknown.
        """
        self.sources.tell(message_id, Source(topic=topic, partition=partition, offset=offset, value=value))

    def _make_runner(self, *, allow_remote: bool) -> web.AppRunner:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.add_routes([web.post(path, self._take) for path in CALL_PATHS])
        app.add_routes([web.post(f"{path}/", self._take) for path in CALL_PATHS])
        app.add_routes([web.get("/v1/projects/{write_key}/settings", self._show_settings)])
        app.add_routes(self.platforms.routes())
        app.add_routes(guarded(self._routes_for_people(), allow_remote=allow_remote))
        return web.AppRunner(
            app,
            access_log=None,
            auto_decompress=False,  # we judge damaged gzip ourselves, and limit its size
            handler_cancellation=True,  # a sender that disconnects ends its hanging request
            shutdown_timeout=STOP_SECONDS,
        )

    def _routes_for_people(self) -> list[web.RouteDef]:
        tail = Tail(self.record, self.faults, self.platforms, self.webhook, self._clock)
        debugger = Debugger(self.record, self.faults, self.sources, tail, self._stopping)
        admin = Admin(self.record, self.faults, self.platforms, self.sources)
        return [*debugger.routes(), *admin.routes(), *self.platforms.admin_routes()]

    async def _show_settings(self, request: web.Request) -> web.Response:
        """Segment's check of a write key: the settings of its source if there is one, else 404."""
        write_key = request.match_info["write_key"]
        reply = answer_settings(write_key, self._region, self._required_keys, self._known_keys)
        return web.Response(status=reply.status, body=reply.body.encode(), headers=reply.headers)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        try:
            with self.record.request_open():
                received = await _read(request)
                action = self.faults.decide(received.path, received.calls)
                judgement = self._judge(received, action)
                if not self._put_on_record(received, judgement, action):
                    return web.Response(
                        status=503, text="the sandbox cannot write its record file; see the log of the sandbox"
                    )
                return await self._respond(request, judgement.reply, action)
        finally:
            self._wake()

    def _judge(self, received: Received, action: Action) -> Judgement:
        if action.refuses:
            return refuse(received, NO_REPLY if action.reset else action.reply(SUCCESS))
        judged = judge(received, self._required_keys, self._known_keys)
        return judged if action.only_waits else replace(judged, reply=action.reply(judged.reply))

    def _put_on_record(self, received: Received, judgement: Judgement, action: Action) -> bool:
        """Record one request; False: the record file cannot be written, so the sender must not get a 2xx.

        The counters then already have the request with its intended answer: what became of its calls is unknown, as
        after a lost answer.
        """
        answer = action.unanswered or str(judgement.reply.status)
        now = self._clock()
        entries = self.record.receive(received.path, received.calls, judgement, answer, now)
        self._wake()
        try:
            if self._record_file:
                self._record_file.append(entries)
        except OSError:
            log.exception("the record file cannot be written; calls are refused with 503 until it can")
            return False
        if self.webhook is not None:
            accepted = zip(received.calls, entries, strict=True)
            self.webhook.take(
                received.path, [call for call, entry in accepted if entry.verdict is Verdict.ACCEPTED], now
            )
        return True

    def _wake(self) -> None:
        """Let callers that wait in `until` check again; later callers wait for the next change."""
        self._changed.set()
        self._changed.clear()

    async def _wait(self, seconds: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _respond(self, request: web.Request, reply: Reply, action: Action) -> web.StreamResponse:
        if action.latency_seconds:
            await self._wait(action.latency_seconds)
        self._wake()
        if action.cut_body:
            return await _cut(request, reply)
        if action.hang:
            await self._wait(None)
        if action.unanswered:
            _reset(request)
        return web.Response(status=reply.status, body=reply.body.encode(), headers=reply.headers)


async def _read(request: web.Request) -> Received:
    path = request.path.rstrip("/")
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return Received(path=path, refusal=TOO_LARGE)
    headers = request.headers
    return read_request(path, headers.get("Authorization", ""), headers.get("Content-Encoding", ""), raw)


async def _cut(request: web.Request, reply: Reply) -> web.StreamResponse:
    body = reply.body.encode()
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_length = len(body) + CUT_BYTES
    response.force_close()
    await response.prepare(request)
    await response.write(body)
    return response


def _reset(request: web.Request) -> None:
    transport = request.transport
    if transport is None or transport.is_closing():
        return
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_LINGER)
    transport.abort()
