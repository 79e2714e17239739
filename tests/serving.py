"""`fhir-server serve` as a process of its own, on a free loopback port."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Served:
    """A running server: its FHIR base, and its process to end it as one likes."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port
        self.base = f"http://127.0.0.1:{port}/fhir"

    def await_ready(self) -> None:
        """Return when the server answers."""
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5):
                    return
            except (urllib.error.URLError, ConnectionError):
                assert self.process.poll() is None, "the server ended"
                assert time.monotonic() < deadline
                time.sleep(0.05)


@contextmanager
def served(store: str, *arguments: str, port: int = 0, **settings: str) -> Iterator[Served]:
    """A server that is asked to end afterwards, unless it has ended; `settings` are FHIR_SERVER_* variables."""
    if not port:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    command = [sys.executable, "-m", "fhir_server.cli", "serve", "--store", store, "--port", str(port), *arguments]
    process = subprocess.Popen(
        command,
        cwd=Path(__file__).parents[1],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "FHIR_SERVER_AUTH": "open", **settings},
    )
    server = Served(process, port)
    try:
        server.await_ready()
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
