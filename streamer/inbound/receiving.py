"""Receives the body of a request within its limits: bytes, time, and the memory that all requests share."""

import asyncio
from typing import Final

from aiohttp import HttpVersion11, web
from aiohttp.web_protocol import RequestPayloadError

from streamer.inbound.gunzip import Gunzip, NotGzipError
from streamer.inbound.open_bytes import Share
from streamer.inbound.refused import RefusedError, busy, late, too_large
from streamer.inbound.webhook_counts import Result

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


async def receive(request: web.BaseRequest, share: Share, *, deadline: float, max_bytes: int) -> bytes:
    """The whole body, decompressed.

    Args:
        request: its headers are complete, its body may not be.
        share: counts what it holds.
        deadline: when it must be complete, in the event loop's time.
        max_bytes: longest body, before and after decompression.

    Raises:
        RefusedError: the body is too large, too late, not what its headers say, or gives way to others.
        ConnectionError: the sender is gone.
    """
    gunzip = Gunzip() if _is_gzip(request) else None
    if (request.content_length or 0) > max_bytes:
        raise _over(max_bytes)
    try:
        async with asyncio.timeout_at(deadline) as timeout:
            share.give_way = lambda: None if timeout.expired() else timeout.reschedule(0)
            await _ask_for_body(request)
            return await _read(request, gunzip, share, max_bytes)
    except TimeoutError:
        if share.has_given_way:
            raise _given_way() from None
        raise late() from None
    except NotGzipError:
        message = "the body is not gzip, although Content-Encoding says so"
        raise RefusedError(Result.BAD_ENCODING, 400, message, must_close=True) from None
    except RequestPayloadError:
        raise RefusedError(Result.BAD_ENCODING, 400, "the body is not transferred as HTTP/1.1 says") from None
    finally:
        share.complete()


async def _read(request: web.BaseRequest, gunzip: Gunzip | None, share: Share, max_bytes: int) -> bytes:
    body = bytearray()  # not a list: of a body that comes byte by byte, that would take forty times as much
    sent = 0
    while chunk := await request.content.readany():
        sent += len(chunk)
        for piece in (chunk,) if gunzip is None else gunzip.feed(chunk):
            if max(sent, len(body) + len(piece)) > max_bytes:
                raise _over(max_bytes)
            if not share.add(len(piece)):
                raise _given_way()
            body += piece
    if gunzip is not None:
        gunzip.end()
    return bytes(body)


def _is_gzip(request: web.BaseRequest) -> bool:
    encodings = [text.strip().lower() for text in request.headers.getall("Content-Encoding", ())]
    if encodings in ([], [""], ["identity"]):
        return False
    if encodings == ["gzip"]:
        return True
    raise RefusedError(Result.BAD_ENCODING, 415, "Content-Encoding must be gzip, identity or absent")


async def _ask_for_body(request: web.BaseRequest) -> None:
    """Tell a sender that waits for it that its body is wanted."""
    if request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(_CONTINUE)
        request.writer.output_size = 0  # what counts is the answer


def _over(max_bytes: int) -> RefusedError:
    return too_large(f"the body is larger than {max_bytes} bytes (inbound.limits.max_body_bytes)")


def _given_way() -> RefusedError:
    return busy("too many bytes are being received; send the request again")
