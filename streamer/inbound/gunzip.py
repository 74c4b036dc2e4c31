"""Decompresses the body of a request piece by piece, so that nobody holds more of it than is allowed."""

from collections.abc import Iterator
from typing import Final

from isal import isal_zlib

GZIP_WINDOW_BITS: Final = 31

PIECE_BYTES: Final = 64 << 10
"""Largest piece that is decompressed at once: a bomb of 1:1000 is noticed after this much."""


class NotGzipError(Exception):
    """The bytes are not gzip, are damaged, or end too early."""


class Gunzip:
    """A gzip stream of one or several members, one after the other, and nothing else."""

    def __init__(self) -> None:
        self._member = isal_zlib.decompressobj(wbits=GZIP_WINDOW_BITS)
        self._has_begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the next bytes of the stream decompress to, in pieces.

        Raises:
            NotGzipError: they are not gzip.
        """
        while data:
            if self._member.eof:
                self._member = isal_zlib.decompressobj(wbits=GZIP_WINDOW_BITS)
            self._has_begun = True
            while True:
                try:
                    piece = self._member.decompress(data, PIECE_BYTES)
                except isal_zlib.error as error:  # type: ignore[misc]  # its stub does not say that it is an exception
                    raise NotGzipError from error
                if piece:
                    yield piece
                data = self._member.unconsumed_tail
                # A piece of full length: the member may hold back more of it.
                if self._member.eof or not (data or len(piece) == PIECE_BYTES):
                    break
            data = self._member.unused_data if self._member.eof else b""

    def end(self) -> None:
        """Nothing more comes.

        Raises:
            NotGzipError: the stream ends too early.
        """
        if not (self._has_begun and self._member.eof):
            raise NotGzipError
