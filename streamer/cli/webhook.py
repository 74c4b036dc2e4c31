"""``streamer webhook send``: signs and sends calls as Segment does, to try a set-up without Segment."""

import argparse
import gzip
import http.client
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from streamer.cli.values import positive

if TYPE_CHECKING:
    from streamer.cli.options import Commands

EXIT_FAILED: Final = 1

TIMEOUT_SECONDS: Final = 10.0
"""For connecting, and for the answer: as Segment."""

MAX_CALLS: Final = 1_000
"""Calls of a wrapped batch: as Segment."""

MAX_ANSWER_BYTES: Final = 64 << 10

EPILOG: Final = """\
FILE is the body of one request, or has one call (a JSON object) on each line. The secret is read from a file, because
other users of this machine can see a command line. Exit codes: 0 all requests were answered with 200, 1 one was not,
69 the listener cannot be reached.

example:
  echo '{"type":"identify","userId":"u-1","messageId":"try-1","traits":{"plan":"Pro"}}' |
    streamer webhook send - --to http://127.0.0.1:8081/webhooks/segment/production --secret-file secret.txt
"""


def add_parser(commands: "Commands") -> None:
    """Register the command and its subcommand."""
    parser = commands.add_parser(
        "webhook",
        help="sign calls and send them to streamer as Segment does",
        description="Try the webhooks of a configuration without Segment.",
        epilog="Example: streamer webhook send calls.jsonl --to http://127.0.0.1:8081/webhooks/segment/production"
        " --secret-file secret.txt",
    )
    send = parser.add_subparsers(title="commands", metavar="COMMAND", required=True).add_parser(
        "send",
        help="sign and send",
        description="Sign calls and send them as Segment does. Print status and body of each answer.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = send.add_argument
    add("file", metavar="FILE", help="what to send; -: standard input")
    add("--to", metavar="URL", required=True, type=_url, help="of the webhook: http://HOST:PORT/webhooks/segment/NAME")
    add("--secret-file", metavar="FILE", required=True, type=Path, help="file whose first line is the shared secret")
    add("--bearer-token-file", metavar="FILE", type=Path, help="file with the token, if the webhook asks for one")
    form = send.add_mutually_exclusive_group()
    form.add_argument("--batch", metavar="N", type=positive, help="send lists of up to N calls, as Webhooks (Actions)")
    form.add_argument("--wrapped", action="store_true", help='send lists of {"json": call}, as Extensible Webhook')
    add("--gzip", action="store_true", help="compress the bodies")
    send.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Send, and print the answers."""
    from streamer.core.inbound import signature  # noqa: PLC0415 - `streamer --help` should not wait for it
    from streamer.settings import read_secret_file  # noqa: PLC0415

    secret = read_secret_file(args.secret_file, "--secret-file").partition("\n")[0].rstrip("\r")
    headers = {"Content-Type": "application/json", "User-Agent": "Segment (Actions)"}
    if args.bearer_token_file is not None:
        headers["Authorization"] = f"Bearer {read_secret_file(args.bearer_token_file, '--bearer-token-file')}"
    if args.gzip:
        headers["Content-Encoding"] = "gzip"
    try:
        with nullcontext(sys.stdin.buffer) if args.file == "-" else Path(args.file).open("rb") as file:
            content = file.read()
    except OSError as error:
        print(f"streamer: {args.file} cannot be read: {error.strerror}", file=sys.stderr)
        return EXIT_FAILED
    are_accepted = True
    with closing(_connect(args.to)) as connection:
        for body in _bodies(content, batch=args.batch, wrapped=args.wrapped):
            signed = {**headers, signature.HEADER: signature.sign(secret, body)}
            status, answer = _post(connection, args.to, gzip.compress(body) if args.gzip else body, signed)
            print(status, answer)
            are_accepted &= status == http.client.OK
    return 0 if are_accepted else EXIT_FAILED


def _bodies(content: bytes, *, batch: int | None, wrapped: bool) -> Iterator[bytes]:
    """The bodies to send; the text of a call stays as it is."""
    calls = _calls(content)
    if wrapped:
        calls = [b'{"json":%b}' % call for call in calls]
    size = MAX_CALLS if wrapped else batch
    if size is None:
        # What is one document is one body, whatever it is: a wrong body is sent to see how it is answered.
        yield from [content] if _is_one_body(content) else calls
        return
    for start in range(0, len(calls), size):
        yield b"[%b]" % b",".join(calls[start : start + size])


def _calls(content: bytes) -> Sequence[bytes]:
    from streamer.core.inbound.body import split  # noqa: PLC0415

    calls = split(content, len(content))
    return calls if isinstance(calls, list) else [line.strip() for line in content.splitlines() if line.strip()]


def _is_one_body(content: bytes) -> bool:
    from streamer.core.inbound.body import split  # noqa: PLC0415

    return isinstance(split(content, len(content)), list) or content.strip().count(b"\n") == 0


def _connect(url: SplitResult) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    assert url.hostname is not None, "checked with the options"
    return kind(url.hostname, url.port, timeout=TIMEOUT_SECONDS)


def _post(
    connection: http.client.HTTPConnection, url: SplitResult, body: bytes, headers: dict[str, str]
) -> tuple[int, str]:
    """Status and body of the answer.

    Raises:
        UnavailableError: there is no answer.
    """
    from streamer.core.errors import UnavailableError  # noqa: PLC0415

    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        text = answer.read(MAX_ANSWER_BYTES).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise UnavailableError(
            f"no answer from {url.scheme}://{url.netloc.rpartition('@')[2]}: {reason}. It is not known whether the"
            " calls were stored; sending them again does no harm. Check --to, and that streamer runs"
        ) from error
    if not answer.isclosed():  # a longer answer than is shown
        connection.close()
    return answer.status, text


def _url(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        is_usable = url.scheme in {"http", "https"} and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        is_usable = False
    if not is_usable:
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL like http://127.0.0.1:8081/webhooks/segment/NAME")
    return url
