"""Secrets and answers stay where they belong: a run with every kind of fault, and a search through all it lets out."""

import base64
import contextlib
import gc
import os
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import aiohttp
import orjson
import pytest
from aiokafka.structs import ConsumerRecord

from streamer import logs
from streamer.core.errors import UnavailableError
from streamer.core.mapping import Mapper
from streamer.devkit.sandbox.faults import Action, Fault, Match
from streamer.devkit.sandbox.server import Sandbox
from streamer.kafka import DeadLetterProducer
from tests.conftest import ConsumeAll
from tests.doubles.collector import Collector, collecting
from tests.security.conftest import CERTIFIED_NAME, KEY_PASSWORD, PASSWORD, USER, Certificates, SecureBroker
from tests.service.harness import Deployment, Headers, Process, eventually, pipeline_of, survey_event

pytestmark = pytest.mark.kafka

PATHS = ("/livez", "/readyz", "/readyz/destinations", "/startupz", "/metrics", "/version", "/status", "/none")
NAMES = ("segment", "moved", "locked", "unknown")
"""The destinations: each pair of integration and destination has the same name."""
NOBODY = "http://127.0.0.1:1"
"""Where nobody listens."""
OUR_HEADERS = ("streamer.", "__connect.errors.")


SHOWN_ID: Final = "messageId that is too long"
"""A messageId is the one value of a record that is shown, valid or not: its producer finds the record by it."""


class Planted:
    """Texts that must not come out, each made up for one place, so that one that does says where it was."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {"the broker's password": PASSWORD, "the password of our key": KEY_PASSWORD}

    def __call__(self, place: str) -> str:
        """A new text for a place."""
        assert place not in self._texts
        self._texts[place] = f"planted{len(self._texts):02d}x{os.urandom(4).hex()}"
        return self._texts[place]

    def found_in(self, *outputs: str | bytes) -> list[str]:
        """The places whose text is in one of the outputs: as it is, in upper case, as Basic authentication has it."""
        whole = b"\n".join(output.encode() if isinstance(output, str) else output for output in outputs).lower()
        return [
            place
            for place, text in self._texts.items()
            if any(form.lower() in whole for form in (text.encode(), base64.b64encode(f"{text}:".encode())))
        ]


@pytest.fixture
def planted() -> Planted:
    return Planted()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
async def sandboxes() -> AsyncIterator[list[Sandbox]]:
    """Two more: one for each destination that is held."""
    async with contextlib.AsyncExitStack() as stack:
        started = [Sandbox(), Sandbox()]
        for sandbox in started:
            await sandbox.start()
            stack.push_async_callback(sandbox.stop)
        yield started


def personal_event(message_id: str, planted: Planted, *, properties: Any = None, **changes: Any) -> bytes:
    """An event with a text of its own wherever a person can be recognised or has said something."""

    def text(place: str) -> str:
        return planted(f"{place} of {message_id}")

    event = orjson.loads(survey_event(message_id))
    event |= {"userId": text("userId"), "anonymousId": text("anonymousId")}
    event["context"] = {"ip": text("ip"), "page": {"path": f"/{text('path')}", text("name of a part"): text("part")}}
    event["properties"] |= {
        "answers": [{"question": text("question"), "answer": text("answer")}],
        "traits": {"email": f"{text('email')}@example.com", text("name of a trait"): {text("name"): text("value")}},
        "identities": [{"type": "email", "value": text("identity")}],
        **(properties or {}),
    }
    return orjson.dumps(event | changes)


def faulty_records(planted: Planted) -> Iterator[bytes]:
    """Records that cannot become a call, each for another reason."""
    yield b'{"messageId": "' + planted("broken JSON").encode()
    yield b"\x00\x00\x00\x00\x07" + orjson.dumps({"answer": planted("registry prefix")})
    yield orjson.dumps([planted("no object")])
    yield orjson.dumps({"event": planted("other document"), planted("other key"): planted("other value")})
    members: dict[str, Any] = {
        "event": {"event": planted("event of a wrong type")},
        "timestamp": planted("timestamp that is none"),
        "messageId": planted(SHOWN_ID) * 20,
        "userId": planted("userId that is too large") * 3_000,
    }
    for name, value in members.items():
        yield personal_event(f"wrong {name}", planted, **{name: value})
    properties: dict[str, Any] = {
        "identities": [{"value": planted("identity without type")}],
        "traits": [planted("traits that are a list")],
        "survey_id": {planted("name in a survey_id"): planted("survey_id that is an object")},
    }
    for name, value in properties.items():
        yield personal_event(f"wrong {name}", planted, properties={name: value})


async def answers_of(process: Process) -> list[str]:
    """All HTTP answers of a running service, with their headers."""
    port = process.log_events("server.listening")[0]["port"]
    answers = []
    async with aiohttp.ClientSession() as session:
        for path in PATHS:
            for accept in ("*/*", "application/json", "application/openmetrics-text"):
                async with session.get(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept}) as response:
                    answers += [str(response.headers), await response.text()]
    return answers


def our_headers(letters: list[ConsumerRecord]) -> list[bytes]:
    """What we have added to dead letters; all else in them is the producer's, unchanged."""
    return [
        b"%s: %s" % (name.encode(), value)
        for letter in letters
        for name, value in letter.headers
        if name.startswith(OUR_HEADERS) and value is not None
    ]


class FaultyRun:
    """A configuration with every kind of secret, and destinations that fail in every way and quote what was sent."""

    def __init__(self, deployment: Deployment, planted: Planted, moved: Sandbox, locked: Sandbox) -> None:
        self.deployment = deployment
        self.planted = planted
        self._keys = {name: planted(f"write key of {name}") for name in NAMES}
        self._moved, self._locked = moved, locked

    async def configure(self, broker: SecureBroker, certificates: Certificates) -> list[str]:
        """Secrets from files, from variables and in the file itself; returns the topics."""
        deployment, directory = self.deployment, self.deployment.directory
        self._locked._known_keys = {self._keys["locked"]}
        (directory / "write-key").write_text(f"{self._keys['segment']}\n")
        (directory / "password").write_text(f"{PASSWORD}\n")
        common = deployment.destination | {"retry": {"quick": ["50ms"], "schedule": ["100ms"]}}
        del common["write_key"]
        deployment.document |= {
            "log": {"format": "json", "level": "debug"},
            "destinations": {
                "segment": common | {"write_key_file": str(directory / "write-key")},
                "moved": common
                | {"write_key": self._keys["moved"], "endpoint": self._moved.url, "settings_endpoint": NOBODY},
                "locked": common | {"write_key": self._keys["locked"], "endpoint": self._locked.url},
                "unknown": common | {"write_key": self._keys["unknown"], "settings_endpoint": self._locked.url},
            },
        }
        deployment.document["kafka"] |= {
            "bootstrap_servers": f"{CERTIFIED_NAME}:{broker.sasl_port}",
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "PLAIN",
            "sasl_plain_username": USER,
            "sasl_plain_password_file": str(directory / "password"),
            "ssl_cafile": str(certificates.authority),
            "ssl_certfile": str(certificates.client),
            "ssl_keyfile": str(certificates.client_key),
            "ssl_password": KEY_PASSWORD,
        }
        return [
            topic
            for name in NAMES
            for topic in await deployment.integrate(name, destination=name, dead_letters={"max_ratio": 1})
        ]

    def fail(self, quoted: str) -> None:
        """Answer events by their messageId with all that can go wrong, and quote an event and the write keys."""
        planted, keys = self.planted, self._keys
        body = f"{keys['segment']} {quoted}"
        for message_id, times, action in (
            ("refuse", None, Action(status=400, body=body, headers={"X-Error": planted("header of a refusal")})),
            ("fail", None, Action(status=500, body=body)),
            ("reset", 1, Action(reset=True)),
            ("cut", 1, Action(cut_body=True)),
            ("wait", 1, Action(status=429, retry_after=planted("Retry-After"))),
        ):
            match = Match(message_ids=frozenset({message_id}))
            self.deployment.sandbox.faults.add(Fault(match=match, times=times, action=action))
        user, password = planted("user in Location"), planted("password in Location")
        location = f"http://{user}:{password}@127.0.0.1/?key={keys['moved']}"
        self._moved.faults.add(Fault(action=Action(status=307, headers={"Location": location})))
        self._locked.faults.add(Fault(action=Action(status=401, body=f"no such key: {keys['locked']}")))

    async def produce(self, topics: list[str]) -> None:
        """Good events first, so that the destination is known to work when it refuses the others."""
        deployment, planted = self.deployment, self.planted
        good = personal_event("good", planted)
        await deployment.produce(topics[0], [good, good], key=planted("key of a record").encode())
        await deployment.settled()
        headers = [("trace", planted("header of a record").encode()), (planted("name of a header"), b"1")]
        await deployment.produce(topics[0], faulty_records(planted), headers=headers)
        failing = [personal_event(name, planted) for name in ("refuse", "fail", "reset", "cut", "wait")]
        self.fail(quoted=failing[0].decode())
        await deployment.produce(topics[0], failing)
        await deployment.settled()
        for topic in topics[1:]:
            await deployment.produce(topic, [personal_event(f"to {topic}", planted)])


async def test_a_faulty_run_lets_no_secret_and_no_answer_out(
    deployment: Deployment,
    broker: SecureBroker,
    certificates: Certificates,
    sandboxes: list[Sandbox],
    planted: Planted,
    consume_all: ConsumeAll,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither in its log at the level debug, nor in HTTP answers, headers, traces, nor in files on disk."""
    run = FaultyRun(deployment, planted, *sandboxes)
    topics = await run.configure(broker, certificates)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"api-key={planted('key of the collector')}")
    process = await deployment.start_process()
    await run.produce(topics)
    await eventually(lambda: len(process.log_events("destination.held")) == 3)
    assert process.log_events("destination.key_unverified")
    answers = await answers_of(process)
    process.send(signal.SIGTERM)
    assert await process.wait() == 0

    delivered = [body for _, body in deployment.sandbox.record.latest() if body is not None]
    assert "userId of good" in planted.found_in(*delivered), "what is there is found"
    letters = await consume_all(f"{topics[0]}.dlq")
    reasons = {dict(letter.headers)["streamer.reason"] for letter in letters}
    assert reasons == {b"decode_error", b"schema_invalid", b"too_large", b"rejected_400", b"retries_exhausted"}
    assert process.log_events("batch.retrying")
    kept = [path.read_bytes() for path in (deployment.directory / "state").rglob("*") if path.is_file()]
    assert planted.found_in(process._out.read_bytes()) == [SHOWN_ID]
    assert planted.found_in(*answers) == [SHOWN_ID], "/status shows the last dead letters"
    assert planted.found_in(process.errors, *kept) == []
    assert planted.found_in(*our_headers(letters)) == [SHOWN_ID]
    kinds = {span.name.partition(" ")[0] for span in collector.spans}
    assert kinds == {"poll", "deliver", "POST", "commit", "send"}
    assert "key of the collector" in planted.found_in(*collector.headers)
    assert planted.found_in(*collector.bodies) == [SHOWN_ID]


async def test_a_bug_that_quotes_its_record_is_told_without_its_words(
    deployment: Deployment,
    broker: SecureBroker,
    certificates: Certificates,
    sandboxes: list[Sandbox],
    planted: Planted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An exception's text, a representation in a debugger's or a library's line: nobody knows who will print them.

    Looked at while calls are in flight and dead letters wait.
    """
    run = FaultyRun(deployment, planted, *sandboxes)
    topic, *_ = await run.configure(broker, certificates)
    map_record = Mapper.map

    def map_with_a_bug(mapper: Mapper, value: bytes | None, *others: Any) -> Any:
        if value is not None and b"bug" in value:
            raise ValueError(f"cannot handle {value!r}")
        return map_record(mapper, value, *others)

    letters: list[bytes] = []

    async def write_nothing(*arguments: Any, **_: object) -> None:
        headers: Headers = arguments[3]
        letters.extend(value for name, value in headers if name.startswith(OUR_HEADERS) and value is not None)
        raise UnavailableError("planted: dead letters cannot be written")

    monkeypatch.setattr(Mapper, "map", map_with_a_bug)
    monkeypatch.setattr(DeadLetterProducer, "write", write_nothing)
    deployment.sandbox.faults.add(Fault(action=Action(hang=True)))
    log_path = deployment.directory / "log"
    with log_path.open("wb") as log, logs.configured(deployment.settings().log, file_descriptor=log.fileno()):
        async with deployment.running() as service:
            await deployment.produce(topic, [personal_event("bug", planted), personal_event("good", planted)])
            pipeline = pipeline_of(service, "segment")
            await eventually(lambda: len(pipeline.dead_letters) and deployment.sandbox.record.requests_in_flight)
            shown = list(representations())
            pipeline._crash.set_exception(RuntimeError(planted("a crash")))
            await eventually(lambda: pipeline_of(service, "segment") is not pipeline)
    told = log_path.read_bytes()
    assert b"internal_error" in letters
    assert b'"pipeline.restarted"' in told
    assert planted.found_in(told, *letters) == []
    assert [text[:200] for text in shown if planted.found_in(text)] == []


def representations() -> Iterator[str]:
    """What each living object of ours says of itself. The sandbox's are left out: what it is sent is what it shows."""
    for thing in gc.get_objects():
        module = str(type(thing).__module__)
        if module.startswith("streamer.") and not module.startswith("streamer.devkit.sandbox"):
            yield f"{thing!r}\n{thing}"
