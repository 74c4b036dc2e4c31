"""An API that takes one call a request, as JSON, with a key as a bearer token: what its clients share.

A call says itself which request it is; see `streamer.core.pushing.request`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from streamer import __version__
from streamer.core.delivery.answers import Answer, AnswerKind
from streamer.core.pushing.request import ApiRequest, decode_request
from streamer.destinations.http import Exchange, HttpConnections
from streamer.destinations.way_out import proxy_for
from streamer.settings import DestinationSettings

Judge = Callable[[ApiRequest, Answer], AnswerKind]
"""What an answer of this API to a request means, once the API has accepted something with the present key."""


class BearerClient:
    """Makes the requests of one API: a `streamer.destinations.client.Client`."""

    envelope_bytes = 0

    def __init__(self, settings: DestinationSettings, judge: Judge) -> None:
        """Prepare; nothing is sent yet.

        Args:
            settings: of the destination.
            judge: what the API's answers mean where they mean something else than those of other APIs.

        Raises:
            UnavailableError: the key or the CA file cannot be read, or a variable names an unusable proxy.
        """
        self._settings = settings
        self._judge = judge
        self._connections = HttpConnections(
            timeout_seconds=settings.timeout,
            proxy=proxy_for(settings.url, settings.proxy_url),
            ca_file=settings.ca_file,
        )
        self._key = ""
        self.reread_credentials()

    def reread_credentials(self) -> bool:
        """Read the key again, from its file if it has one; whether it is another one.

        Raises:
            UnavailableError: the file cannot be read or holds no key.
        """
        key = self._settings.read_key()
        has_changed, self._key = key != self._key, key
        if has_changed:
            self._has_accepted = False
            """Whether it accepted anything with this key. Before that, what it says may be that of another server."""
        return has_changed

    async def send(self, bodies: Sequence[bytes], *, resend_count: int) -> Exchange:
        """Make one request.

        Args:
            bodies: exactly one call.
            resend_count: how often it was sent before.
        """
        (body,) = bodies
        request = decode_request(body)
        headers = {"Authorization": f"Bearer {self._key}", "User-Agent": f"streamer/{__version__}"}
        if request.body:
            headers["Content-Type"] = "application/json"
        exchange = await self._connections.request(
            request.method,
            self._settings.url + request.path,
            request.body,
            headers,
            resend_count=resend_count,
            shown_url=self._settings.url + request.shown_path,
        )
        if exchange.answer.kind is AnswerKind.ACCEPTED:
            self._has_accepted = True
        elif self._has_accepted:
            kind = self._judge(request, exchange.answer)
            error = "" if kind is AnswerKind.ACCEPTED else exchange.answer.error
            return exchange._replace(answer=replace(exchange.answer, kind=kind, error=error))
        return exchange

    def renew_connections(self) -> None:
        """Resolve the host again for the requests to come; those on their way are left alone."""
        self._connections.renew()

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()
