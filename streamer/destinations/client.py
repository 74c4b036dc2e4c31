"""What a destination needs of the API that its calls go to. `streamer.destinations.segment` is the first one."""

from collections.abc import Sequence
from typing import Protocol

from streamer.destinations.http import Exchange


class Client(Protocol):
    """One API that calls go to."""

    @property
    def envelope_bytes(self) -> int:
        """Bytes of a request's body beside the calls, at most."""

    async def send(self, bodies: Sequence[bytes], *, resend_count: int) -> Exchange:
        """Make one request of serialised calls; whatever goes wrong becomes an `Answer`.

        Args:
            bodies: the calls.
            resend_count: how often these calls were sent before; 0 on the first attempt.
        """

    def reread_credentials(self) -> bool:
        """Read the credentials again; whether they are others. After an error the ones read before are used.

        Raises:
            UnavailableError: they cannot be read.
        """

    def renew_connections(self) -> None:
        """Resolve the host again for the requests to come; those on their way are left alone."""

    async def close(self) -> None:
        """Close all connections."""
