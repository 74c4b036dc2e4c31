"""Asks running instances over HTTP: those that are named, or the one on this machine and the others of its groups.

On this machine an instance listens on a Unix socket in its state directory, which needs no token. Kafka knows the hosts
of the other members of the consumer groups; each is assumed to listen on the port of our configuration. An instance
that does not answer is an answer, too: whoever asks must be able to say who was not heard.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import aiohttp
import orjson

from streamer.core.errors import SettingsError, UnavailableError
from streamer.kafka.members import members_of
from streamer.listening import SOCKET_NAME
from streamer.settings import Settings
from streamer.settings.sections import read_secret_file

ANSWER_SECONDS: Final = 5.0
"""Longest wait for the whole answer of one instance, and for the first byte of a stream."""

MAX_ANSWER_BYTES: Final = 16 << 20

MAX_INSTANCES: Final = 100
"""Most instances that are asked."""

MAX_WAITING_LINES: Final = 1_000
"""Lines of streams that wait for who reads them; then the instances wait, and drop what they have no room for."""

OK: Final = 200

NOT_STREAMER: Final = "its answer is not that of streamer; correct the address"

UNIX: Final = "unix:"
"""Begins the address of an instance that is asked over its Unix socket."""

_EVERYWHERE: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - not listened on, but translated

Params = Mapping[str, str | int | float | Sequence[str]]
"""Of a query; a sequence is a parameter that is repeated."""

MAX_REFUSAL_BYTES: Final = 500
"""Most of the text of a refusal that is read."""

SILENT_SECONDS: Final = 20.0
"""A stream has a line every few seconds; an instance that sends none for so long does not answer any more."""


class Answer(NamedTuple):
    """What one instance said."""

    instance: str
    """Its address."""
    document: Any | None
    """The JSON of its answer; None: it gave none."""
    error: str
    """Why there is none, and what to do; empty if there is one."""


class Instances:
    """Connections to instances; `open` makes it."""

    def __init__(self, sessions: Mapping[str, aiohttp.ClientSession], problems: Sequence[str] = ()) -> None:
        self._sessions = sessions
        self.problems = problems
        """Why there may be more instances than are asked."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings, addresses: Sequence[str] = (), token_file: Path | None = None
    ) -> AsyncGenerator[Self]:
        """Find out whom to ask. Nothing is asked of them yet.

        Args:
            settings: the whole configuration.
            addresses: whom to ask, as ``http://host:port`` or ``unix:path``; none: who belongs to the configuration.
            token_file: holds the token; None: what the configuration says.

        Raises:
            SettingsError: the file of the token cannot be read.
        """
        token = _token(settings, token_file)
        if addresses:
            found, problems = [address.rstrip("/") for address in addresses], list[str]()
        else:
            found, problems = await _addresses(settings)
        async with AsyncExitStack() as stack:
            sessions = {
                address: await stack.enter_async_context(_session(address, token)) for address in dict.fromkeys(found)
            }
            yield cls(sessions, problems)

    @property
    def addresses(self) -> Sequence[str]:
        """Whom it asks: ``http://host:port``, or ``unix:`` and the path of a socket."""
        return tuple(self._sessions)

    async def get(self, path: str, params: Params | None = None) -> list[Answer]:
        """Ask all instances at once, each for at most `ANSWER_SECONDS`; in the order of `addresses`.

        Args:
            path: such as ``/status``.
            params: of the query.
        """
        asking = (_get(address, session, path, params or {}) for address, session in self._sessions.items())
        return list(await asyncio.gather(*asking))

    async def ask(self, address: str, path: str) -> Answer:
        """Ask one of `addresses` alone, for at most `ANSWER_SECONDS`."""
        return await _get(address, self._sessions[address], path, {})

    async def stream(
        self, path: str, params: Params | None = None, *, on_end: Callable[[Answer], None] = lambda _: None
    ) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
        """The lines of a stream of JSON objects, from all instances at once, with the address of each.

        Args:
            path: such as ``/tap``.
            params: of the query.
            on_end: called when the stream of an instance ends, with an error unless the instance ended it.

        Yields:
            Lines until all streams have ended.
        """
        lines: asyncio.Queue[tuple[str, dict[str, Any]] | Answer] = asyncio.Queue(MAX_WAITING_LINES)
        tasks = [
            asyncio.create_task(_follow(address, session, path, params or {}, lines), name=f"stream of {address}")
            for address, session in self._sessions.items()
        ]
        open_streams = len(tasks)
        try:
            while open_streams:
                line = await lines.get()
                if isinstance(line, Answer):
                    open_streams -= 1
                    on_end(line)
                else:
                    yield line
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)  # they put their errors into the queue


async def _get(address: str, session: aiohttp.ClientSession, path: str, params: Params) -> Answer:
    try:
        async with asyncio.timeout(ANSWER_SECONDS), session.get(path, params=params, allow_redirects=False) as response:
            if response.status != OK:
                return Answer(address, None, _refusal(response.status, await _said_in(response)))
            body = await response.content.read(MAX_ANSWER_BYTES + 1)
            while len(body) <= MAX_ANSWER_BYTES and (more := await response.content.read(MAX_ANSWER_BYTES)):
                body += more
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return Answer(address, None, _describe(error))
    if len(body) > MAX_ANSWER_BYTES:
        return Answer(address, None, f"its answer is larger than {MAX_ANSWER_BYTES >> 20} MiB")
    try:
        return Answer(address, orjson.loads(body), "")
    except ValueError:
        return Answer(address, None, "it does not answer with JSON; is it streamer that listens there?")


async def _follow(
    address: str,
    session: aiohttp.ClientSession,
    path: str,
    params: Params,
    lines: "asyncio.Queue[tuple[str, dict[str, Any]] | Answer]",
) -> None:
    """Put the lines of one stream into the queue, and at its end an `Answer`."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS) as patience:
            async with session.get(path, params=params, allow_redirects=False) as response:
                error = "" if response.status == OK else _refusal(response.status, await _said_in(response))
                async for line in response.content:
                    patience.reschedule(None)
                    document = orjson.loads(line) if line.strip() and not error else None
                    if isinstance(document, dict):
                        await lines.put((address, document))
                    patience.reschedule(asyncio.get_running_loop().time() + SILENT_SECONDS)
    except (aiohttp.ClientError, OSError, TimeoutError) as failure:
        error = _describe(failure)
    except ValueError:
        error = "it does not answer with lines of JSON; is it streamer that listens there?"
    await lines.put(Answer(address, None, error))


def _describe(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its host name is unknown"
    cause = getattr(error, "os_error", error)
    if isinstance(cause, ConnectionRefusedError | FileNotFoundError):
        return "no program listens there; it is not running, or server.host does not let others reach it"
    if isinstance(cause, PermissionError):
        return "only the user that runs it may ask there; become that user, or give --instance http://HOST:PORT"
    return f"the connection failed ({type(error).__name__})"


def _refusal(status: int, said: str = "") -> str:
    match status:
        case 401:
            return "it wants its token: give --token-file"
        case 404:
            return "it does not know the question; its version is older than this command's"
        case 421:
            return "it answers only requests to localhost or 127.0.0.1; set server.token_file to ask it by another name"
    return f"it answered with status {status}: {said}" if said else f"it answered with status {status}; see its log"


async def _said_in(response: aiohttp.ClientResponse) -> str:
    """Why an instance refuses, in its own words; "" if these are no line of text."""
    text = (await response.content.read(MAX_REFUSAL_BYTES)).decode("utf-8", "replace").partition("\n")[0]
    return text if response.content_type == "text/plain" and text.isprintable() else ""


def _token(settings: Settings, token_file: Path | None) -> str | None:
    """The token, if there is one. The one of the configuration may be on the machine of the instances only."""
    file = token_file or settings.server.token_file
    if file is None:
        return None
    try:
        return read_secret_file(file, "--token-file" if token_file else "server.token_file").strip()
    except UnavailableError as error:
        if token_file is None:
            return None
        raise SettingsError([str(error)]) from error


def _session(address: str, token: str | None) -> aiohttp.ClientSession:
    """A session for one instance. The token never goes over a socket, whose owner needs none, nor to a redirect."""
    options: dict[str, Any] = {
        "cookie_jar": aiohttp.DummyCookieJar(),
        "timeout": aiohttp.ClientTimeout(total=None),  # each question has a timeout of its own
    }
    if address.startswith(UNIX):
        connector = aiohttp.UnixConnector(address.removeprefix(UNIX))
        return aiohttp.ClientSession("http://localhost", connector=connector, **options)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return aiohttp.ClientSession(address, headers=headers, **options)


async def _addresses(settings: Settings) -> tuple[list[str], list[str]]:
    """Whom to ask, the instance on this machine first, and why there may be more of them."""
    path, port = settings.state_dir / SOCKET_NAME, settings.server.port
    found: list[str] = []
    if await _answers(path):
        found.append(f"{UNIX}{path}")
    elif port:
        found.append(_url(_reachable(settings.server.host), port))
    groups = {integration.group_id for integration in settings.integrations.values()}
    try:
        members = await members_of(settings.kafka, sorted(groups))
    except (SettingsError, UnavailableError) as error:
        return found, [f"the other members of the consumer groups are not known: {error}"]
    hosts = sorted({member.host for each in members.values() for member in each if member.host})
    elsewhere = [host for host in hosts if not _is_here(host)]
    if elsewhere and not port:
        return found, [f"server.port is 0, so the ports of {', '.join(elsewhere)} are not known; give --instance"]
    found += [_url(host, port) for host in elsewhere]
    problems = [f"only the first {MAX_INSTANCES} instances are asked"] if len(found) > MAX_INSTANCES else []
    return found[:MAX_INSTANCES], problems


async def _answers(path: Path) -> bool:
    """Whether a process listens on a socket, and lets us connect."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            _, writer = await asyncio.open_unix_connection(path)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in _EVERYWHERE else host


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_here(host: str) -> bool:
    """Whether an address is one of this machine: only those can be bound. A name is taken for another machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as own:
        try:
            own.bind((host, 0))
        except OSError:
            return False
    return True
