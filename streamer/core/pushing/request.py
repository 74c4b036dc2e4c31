"""One request of an API that takes one call a request: what the serialised call holds.

The client of a destination gets serialised calls and nothing else. Where such a call goes is a part of it.
"""

from typing import Any, Final, NamedTuple
from urllib.parse import quote

import orjson

from streamer.core.errors import MappingError
from streamer.core.model import Json

_SHOWN_SEGMENTS: Final = 2
_UNADDRESSABLE: Final = frozenset({".", ".."})


class ApiRequest(NamedTuple):
    """A request, without the address of the API and without its key."""

    method: str
    path: str
    body: bytes
    """JSON; empty: there is none."""

    @property
    def shown_path(self) -> str:
        """The path without what may name a user: all but its first two segments."""
        kept = self.path.split("/")[: 1 + _SHOWN_SEGMENTS]
        return "/".join(kept) + ("/REDACTED" if len(kept) < self.path.count("/") + 1 else "")


def encode_request(method: str, path: str, body: Json = None) -> bytes:
    """The serialised call; ``body`` None: the request has none.

    Raises:
        MappingError: ``body`` is nested too deeply.
    """
    try:
        return orjson.dumps({"method": method, "path": path, "body": body})
    except orjson.JSONEncodeError:  # its text may quote a value; decoded JSON cannot fail otherwise
        raise MappingError("nested too deeply: expected at most 250 levels of objects and arrays") from None


def decode_request(call: bytes) -> ApiRequest:
    """The request that a serialised call stands for."""
    request: dict[str, Any] = orjson.loads(call)
    body = request["body"]
    return ApiRequest(request["method"], request["path"], b"" if body is None else orjson.dumps(body))


def path_segment(name: str) -> str:
    """A name as one segment of a path.

    Raises:
        MappingError: no address can hold it: ``.`` and ``..`` mean other places.
    """
    if name in _UNADDRESSABLE:
        raise MappingError("/username: expected a name that an address can hold, found . or ..")
    return quote(name, safe="")
