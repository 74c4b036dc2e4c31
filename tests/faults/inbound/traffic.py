"""Calls as a Segment workspace sends them in bad times, drawn with a seed.

All calls have different times, which say nothing of the order in which they are sent. What the directory holds at the
end depends on the times alone (`model.py`), with one exception: the calls of a person who is deleted are sent in the
order of their times, one request after the other. All of them have the same key, so they are applied in this order.
"""

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.faults.inbound.model import SIGNED_OUT

PEOPLE: Final = 60
DEVICES: Final = 40
"""Fewer than a user may have."""
STRANGERS: Final = 20
MAX_CALLS: Final = 30
"""Of one request."""
MAX_REMEMBERED: Final = 2_000
"""Calls that may be sent once more."""

FIRST_TIME: Final = datetime(2024, 1, 1, tzinfo=UTC)
TIMES: Final = 10_000_019
"""Milliseconds over which the calls are spread, a prime."""
STRIDE: Final = 7_368_787

TRAITS: Final = ("plan", "city", "role", "seats", "trial")
Call = dict[str, Any]


def new_traffic(seed: int) -> "Traffic":
    """Traffic that is always the same for a seed."""
    return Traffic(random.Random(seed))


class Traffic:
    """Makes requests without end; each is the list of its calls."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._made = 0
        self._sent: list[bytes] = []
        self._leavers = 0
        self._kinds: dict[Callable[[], bytes], float] = {
            self._identify: 0.33,
            self._track: 0.36,
            self._sign_out: 0.08,
            self._sign_out_everywhere: 0.02,
            self._stranger_identifies: 0.04,
            self._stranger_tracks: 0.04,
            self._alias: 0.01,
            self._unsupported: 0.04,
            self._unusable: 0.02,
            self._repeat: 0.06,
        }

    def first_calls(self) -> list[bytes]:
        """One call for each person. They must be accepted before all others: nobody unknown can be signed out."""
        return [self._call("identify", userId=_person(number), traits={"plan": "Free"}) for number in range(PEOPLE)]

    def request(self) -> list[bytes]:
        """The calls of one request, in their order."""
        count = 1 if self._chance.random() < 0.3 else self._chance.randint(2, MAX_CALLS)
        makers = self._chance.choices(list(self._kinds), list(self._kinds.values()), k=count)
        return [self._remember(make()) for make in makers]

    def leaver(self) -> Iterator[list[bytes]]:
        """The requests about one person who leaves, and may come back. Each waits for the one before."""
        self._leavers += 1
        ids = {"userId": f"leaver-{self._leavers}", "anonymousId": f"leaver-device-{self._leavers}"}
        return iter(self._leave(ids, comes_back=self._chance.random() < 0.5))

    def _leave(self, ids: Call, *, comes_back: bool) -> list[list[bytes]]:
        first = self._late("identify", **ids, traits={"plan": "Pro", "email": f"{ids['userId']}@example.com"})
        track = self._late("track", **ids, event="Report Exported", properties={"format": "csv"})
        gone = self._late("delete", userId=ids["userId"])
        back = self._late("identify", **ids, traits={"city": "Oslo"})
        return [[first], [first, track], [gone], *([[back]] if comes_back else [])]

    def _identify(self) -> bytes:
        names = self._chance.sample(TRAITS, self._chance.randint(0, 3))
        traits = {name: self._value() for name in names}
        person = self._person()
        if self._chance.random() < 0.2:
            traits |= {"firstname": f"First {self._chance.randrange(9)}", "lastname": f"Last {self._made}"}
        if self._chance.random() < 0.2:
            traits["email"] = f"{person}@example.com"  # one for each, so nobody else is found by it
        return self._call("identify", userId=person, **self._maybe_device(), traits=traits)

    def _track(self) -> bytes:
        properties = self._chance.choice([{}, {"format": "csv", "n": self._made}, None])
        return self._call(
            "track", userId=self._person(), **self._maybe_device(), event="Report Exported", properties=properties
        )

    def _sign_out(self) -> bytes:
        ids = {"anonymousId": self._device()}
        if self._chance.random() < 0.7:
            ids["userId"] = self._person()
        return self._call("track", **ids, event=SIGNED_OUT)

    def _sign_out_everywhere(self) -> bytes:
        return self._call("track", userId=self._person(), event=SIGNED_OUT)

    def _stranger_identifies(self) -> bytes:
        return self._call("identify", anonymousId=self._stranger(), traits={self._chance.choice(TRAITS): self._value()})

    def _stranger_tracks(self) -> bytes:
        return self._call("track", anonymousId=self._stranger(), event="Page Opened", properties={"n": self._made})

    def _alias(self) -> bytes:
        return self._call("alias", userId=self._person(), previousId=f"former-{self._made}")

    def _unsupported(self) -> bytes:
        return self._call(self._chance.choice(["page", "screen", "group", "Identify"]), userId=self._person())

    def _unusable(self) -> bytes:
        return self._call("identify", userId={"id": self._person()})

    def _repeat(self) -> bytes:
        return self._chance.choice(self._sent) if self._sent else self._identify()

    def _remember(self, call: bytes) -> bytes:
        if len(self._sent) < MAX_REMEMBERED:
            self._sent.append(call)
        else:
            self._sent[self._made % MAX_REMEMBERED] = call
        return call

    def _maybe_device(self) -> Call:
        return {"anonymousId": self._device()} if self._chance.random() < 0.6 else {}

    def _person(self) -> str:
        return _person(self._chance.randrange(PEOPLE))

    def _device(self) -> str:
        return f"device-{self._chance.randrange(DEVICES)}"

    def _stranger(self) -> str:
        return f"stranger-{self._chance.randrange(STRANGERS)}"

    def _value(self) -> Any:
        return self._chance.choice([None, True, "", f"text {self._made}", self._chance.randrange(10**6), 2.5, ["a", 1]])

    def _call(self, kind: str, **members: Any) -> bytes:
        """At a time that says nothing of the order."""
        self._made += 1
        return self._written(kind, self._made * STRIDE % TIMES, members)

    def _late(self, kind: str, **members: Any) -> bytes:
        """Later than all that was made before, and than all that is not made by this."""
        self._made += 1
        return self._written(kind, TIMES + self._made, members)

    def _written(self, kind: str, milliseconds: int, members: Call) -> bytes:
        at = FIRST_TIME + timedelta(milliseconds=milliseconds)
        call = {
            "type": kind,
            "messageId": f"message-{self._made}",
            "timestamp": _text(at),
            **members,
            "writeKey": "write-key-of-the-workspace",
        }
        return json.dumps({"json": call} if self._chance.random() < 0.1 else call).encode()


class Entangled:
    """Calls about few people and devices, who share e-mail addresses, take over names, and are deleted.

    What they lead to depends on the order in which they are applied.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._made = 0

    def take(self, count: int) -> list[bytes]:
        """So many calls."""
        kinds = self._chance.choices(["identify", "track", "alias", "signed out", "delete"], [8, 8, 3, 2, 1], k=count)
        return [self._make(kind) for kind in kinds]

    def _make(self, kind: str) -> bytes:
        self._made += 1
        chance = self._chance
        at = FIRST_TIME + timedelta(milliseconds=chance.randrange(1_000))
        members: Call = {"userId": f"tangled-{chance.randrange(12)}"}
        if chance.random() < 0.7:
            members["anonymousId"] = f"tangle-{chance.randrange(12)}"
        if chance.random() < 0.2 and kind != "delete":
            del members["userId"]
        if kind == "identify":
            members["traits"] = {chance.choice(TRAITS): self._made}
            if chance.random() < 0.3:
                members["traits"]["email"] = f"tangled-{chance.randrange(8)}@example.com"
        elif kind == "alias":
            members["previousId"] = f"tangle{chance.choice(['d', ''])}-{chance.randrange(12)}"
        elif kind in {"track", "signed out"}:
            kind, members["event"] = "track", SIGNED_OUT if kind == "signed out" else "Report Exported"
        call = {"type": kind, "messageId": f"tangle-{self._made}", "timestamp": _text(at), **members}
        return json.dumps(call).encode()


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _person(number: int) -> str:
    return f"person-{number}"
