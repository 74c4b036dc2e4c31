"""Scripted faults: which requests get another answer than Segment's, and which one.

A script is a list of faults, which are tried in order for each request. The latencies of all matching faults add up;
the first one that does more than wait decides the answer. As JSON (`read_faults`) a fault looks like this; ``match``
and all of its members may be left out:

    {"match": {"message_id": ["pf_1"], "event": "Survey Answered", "path": "/v1/batch", "marked": "poison", "every": 3},
     "times": 5, "for_seconds": 60,
     "action": {"status": 429, "retry_after": 12, "latency": "20ms", "body": "slow down", "headers": {"X-Cause": "me"}}}
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from streamer.core.model import Json
from streamer.devkit.sandbox.answers import TEXT_HEADERS, Reply
from streamer.devkit.sandbox.discards import message_id_of
from streamer.settings import parse_duration

MARK: Final = "sandbox"
"""The property by which a call can be marked: ``properties.sandbox``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which requests a fault applies to: those for which everything given here is true. Empty: all."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    message_ids: Annotated[
        frozenset[str],
        BeforeValidator(lambda given: [given] if isinstance(given, str) else given),
        Field(alias="message_id"),
    ] = frozenset()
    """One of the request's calls has one of these messageIds."""
    event: str | None = None
    """One of its calls has this event name."""
    marked: str | None = None
    """One of its calls has this text as ``properties.sandbox``."""
    path: str | None = None
    """The request was sent to this path."""
    every: Annotated[int, Field(ge=1)] = 1
    """Of the requests for which the rest is true, each n-th: the n-th, the 2n-th and so on."""

    def holds(self, path: str, calls: Sequence[Json]) -> bool:
        """Whether a request matches, without ``every``."""
        if self.path is not None and self.path != path:
            return False
        if self.message_ids and not any(message_id_of(call) in self.message_ids for call in calls):
            return False
        if self.event is not None and not any(_member(call, "event") == self.event for call in calls):
            return False
        return self.marked is None or any(_mark(call) == self.marked for call in calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What happens to a request instead of, or on the way to, Segment's own answer.

    With a status other than 2xx, and with ``reset``, none of the request's calls is accepted. With every other action
    the calls are accepted as usual, and only the sender does not learn of it. At most one of ``status``, ``reset``,
    ``reset_after``, ``hang`` and ``cut_body`` may be set.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    status: Annotated[int | None, Field(ge=200, le=599)] = None
    """Answer with this status. A 2xx replaces only Segment's 200, not its 400."""
    retry_after: int | str | None = None
    """Header ``Retry-After``: seconds or an HTTP date. Seconds are sent as ``X-RateLimit-Reset`` too, as by Segment."""
    latency_seconds: Annotated[
        float, BeforeValidator(parse_duration), Field(alias="latency", ge=0, allow_inf_nan=False)
    ] = 0.0
    """Wait before answering; the calls are recorded before the wait."""
    reset: bool = False
    """Reset the connection."""
    reset_after: bool = False
    """Accept the calls, then reset the connection instead of answering."""
    hang: bool = False
    """Accept the calls, then never answer."""
    cut_body: bool = False
    """Accept the calls, then close the connection in the middle of the answer's body."""
    body: str | None = None
    """Body of the answer."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """More headers of the answer, such as a redirect's Location."""

    def __post_init__(self) -> None:
        """Check that the members do not contradict each other.

        Raises:
            ValueError: they do; the text says how.
        """
        if sum((self.status is not None, self.reset, self.reset_after, self.hang, self.cut_body)) > 1:
            raise ValueError("at most one of status, reset, reset_after, hang and cut_body may be set")
        texts = (str(self.retry_after), *self.headers, *self.headers.values())
        if any("\r" in text or "\n" in text for text in texts):
            raise ValueError("a header cannot have a line break")

    @property
    def refuses(self) -> bool:
        """Whether the request's calls are not accepted."""
        return self.reset or (self.status is not None and not Reply(self.status, "").accepts)

    @property
    def unanswered(self) -> str:
        """Why the sender gets no whole answer, in the script's own word; "" if it gets one."""
        ways = ("reset", "reset_after", "hang", "cut_body")
        return next((way for way in ways if getattr(self, way)), "")

    @property
    def only_waits(self) -> bool:
        """Whether the answer is the one that Segment would give."""
        return self == Action(latency_seconds=self.latency_seconds)

    def reply(self, judged: Reply) -> Reply:
        """The answer to a request that Segment would answer with ``judged``."""
        status = judged.status if self.status is None or not judged.accepts else self.status
        body, headers = judged.body, dict(judged.headers)
        if self.body is not None or status != judged.status:
            body, headers = self.body or "", dict(TEXT_HEADERS)
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
            if isinstance(self.retry_after, int):
                headers["X-RateLimit-Reset"] = str(self.retry_after)
        return Reply(status, body, {**headers, **self.headers})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of a script."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    action: Action
    match: Match = field(default_factory=Match)
    times: Annotated[int | None, Field(ge=1)] = None
    """The fault ends after it happened this often; None: it does not end."""
    for_seconds: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    """The fault ends this many seconds after it was added; None: it does not end."""


class FaultsError(ValueError):
    """A script cannot be used; the text says where and why, a line for each mistake."""


_SCRIPT: Final = TypeAdapter(list[Fault])


def read_faults(document: bytes) -> list[Fault]:
    """Read a script, or a single fault, from JSON.

    Raises:
        FaultsError: it is not a script.
    """
    listed = document if document.lstrip().startswith(b"[") else b"[" + document + b"]"
    try:
        return _SCRIPT.validate_json(listed)
    except ValidationError as error:
        lines = (f"{'.'.join(map(str, fault['loc'])) or 'script'}: {fault['msg']}" for fault in error.errors())
        raise FaultsError("\n".join(lines)) from error


def write_faults(faults: Iterable[Fault]) -> bytes:
    """The JSON that `read_faults` reads."""
    return _SCRIPT.dump_json(list(faults), by_alias=True, exclude_defaults=True)


def _member(value: Json, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _mark(call: Json) -> Any:
    return _member(_member(call, "properties"), MARK)
