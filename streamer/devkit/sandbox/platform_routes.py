"""The stand-ins over HTTP: ``/sprig/`` and ``/product-fruits/`` before the paths of their APIs.

GET /_sandbox/platforms    users, latest events and numbers of answers of both
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Container
from typing import Final

import orjson
from aiohttp import web

from streamer.core.model import Json
from streamer.devkit.sandbox.answers import NO_REPLY, SUCCESS, Reply
from streamer.devkit.sandbox.fault_script import FaultScript
from streamer.devkit.sandbox.faults import Action
from streamer.devkit.sandbox.platforms import (
    BAD_REQUEST,
    Platform,
    ProductFruitsStandIn,
    SprigStandIn,
    StandIn,
)

_BEARER: Final = "Bearer "

Respond = Callable[[web.Request, Reply, Action], Awaitable[web.StreamResponse]]
"""Answers a request as a fault wants it."""


class Platforms:
    """The stand-ins of one sandbox."""

    def __init__(self, faults: FaultScript, required_keys: Container[str] | None, respond: Respond) -> None:
        """Begin with no users.

        Args:
            faults: the sandbox's script; its paths have the platform's name in front: ``/sprig/v2/users``.
            required_keys: the only keys that are taken; None: any but an empty one.
            respond: sends the answers.
        """
        self.stand_ins: dict[Platform, StandIn] = {
            Platform.SPRIG: SprigStandIn(),
            Platform.PRODUCT_FRUITS: ProductFruitsStandIn(),
        }
        self.most_at_once = 0
        """Most requests about one user that were open at the same time."""
        self._faults = faults
        self._required_keys = required_keys
        self._respond = respond
        self._open: Counter[tuple[Platform, str]] = Counter()

    def routes(self) -> list[web.RouteDef]:
        """The paths of the platforms' APIs."""
        return [web.route("*", f"/{platform}/{{rest:.*}}", self._take) for platform in Platform]

    def admin_routes(self) -> list[web.RouteDef]:
        """The endpoint of the module's docstring."""
        return [web.get("/_sandbox/platforms", self._show)]

    def require_key(self, key: str) -> None:
        """Take no other key from now on."""
        self._required_keys = {key}

    def clear(self) -> None:
        """Forget all users and events."""
        self.most_at_once = 0
        for stand_in in self.stand_ins.values():
            stand_in.clear()

    async def _show(self, _: web.Request) -> web.Response:
        shown = {platform: stand_in.summary() for platform, stand_in in self.stand_ins.items()}
        return web.Response(body=orjson.dumps(shown), content_type="application/json")

    async def _take(self, request: web.Request) -> web.StreamResponse:
        first, _, rest = request.rel_url.raw_path.lstrip("/").partition("/")
        platform, path = Platform(first), f"/{rest}"
        stand_in = self.stand_ins[platform]
        raw = await request.read()
        try:
            document: Json = orjson.loads(raw) if raw else None
        except orjson.JSONDecodeError:
            return await self._respond(request, BAD_REQUEST, Action())
        user = platform, stand_in.user_of(path, document)
        self._open[user] += 1
        self.most_at_once = max(self.most_at_once, self._open[user])
        try:
            action = self._faults.decide(f"/{first}{path}", [document])
            reply = self._reply(stand_in, request, path, document, action)
            stand_in.answers[reply.status] += 1
            return await self._respond(request, reply, action)
        finally:
            self._open[user] -= 1

    def _reply(self, stand_in: StandIn, request: web.Request, path: str, document: Json, action: Action) -> Reply:
        if action.refuses:
            return NO_REPLY if action.reset else action.reply(SUCCESS)
        scheme, key = request.headers.get("Authorization", "")[: len(_BEARER)], self._key_of(request)
        if scheme != _BEARER or not key or (self._required_keys is not None and key not in self._required_keys):
            return stand_in.bad_key
        judged = stand_in.answer(request.method, path, document)
        return judged if action.only_waits else action.reply(judged)

    @staticmethod
    def _key_of(request: web.Request) -> str:
        return request.headers.get("Authorization", "").removeprefix(_BEARER)
