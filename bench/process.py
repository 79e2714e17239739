"""Servers under measurement as processes of their own: start, wait until they answer, memory, stop."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]


class Running(NamedTuple):
    """A server that answers: where, its process, and how many seconds it took to the first answer."""

    origin: str
    pid: int
    started_in: float


@contextlib.contextmanager
def running(command: list[str], path: str, environ: dict[str, str] | None = None) -> Iterator[Running]:
    """Start `command` with `--port N` added and wait for an answer at `path`. Raises RuntimeError if there is none."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--port", str(port)], cwd=ROOT, env={**os.environ, **(environ or {})}, stdout=subprocess.DEVNULL
    )
    try:
        origin = f"http://127.0.0.1:{port}"
        while not _answers(origin + path):
            if process.poll() is not None or time.perf_counter() - began > 30:
                raise RuntimeError(f"no answer from {' '.join(command)}")
            time.sleep(0.005)
        yield Running(origin, process.pid, time.perf_counter() - began)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def fhir_server(store: str, **settings: str) -> contextlib.AbstractContextManager[Running]:
    """`fhir-server serve` on a store; settings as FHIR_SERVER_* names in lower case."""
    settings = {"auth": "open", **settings}
    environ = {f"FHIR_SERVER_{name.upper()}": value for name, value in settings.items()}
    return running([sys.executable, "-m", "fhir_server.cli", "serve", "--store", store], "/healthz", environ)


def uvicorn(app: str, **environ: str) -> contextlib.AbstractContextManager[Running]:
    """An ASGI application of this folder on uvicorn, with the same options as the server's."""
    options = ["--log-level", "error", "--no-access-log", "--no-server-header"]
    return running([sys.executable, "-m", "uvicorn", app, *options], "/fhir/Patient/1", environ)


def resident_mb(pid: int) -> float:
    """Resident memory of a process in MB, without the pages of files that are mapped, which the system takes back."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1000 if found else 0.0


def ask(
    method: str,
    url: str,
    *,
    body: Path | None = None,
    forms: Path | None = None,
    header: str = "",
    clients: int = 16,
    seconds: float = 4,
) -> dict[str, Any]:
    """Run the load generator (bench/http.py) in its own process; returns what it printed."""
    command = [sys.executable, "-m", "bench.http", method, url, "--clients", str(clients), "--seconds", str(seconds)]
    command += ["--body", str(body)] if body else []
    command += ["--forms", str(forms)] if forms else []
    command += ["--header", header] if header else []
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=seconds + 60)
    found: dict[str, Any] = json.loads(run.stdout)
    if found["failed"]:
        print(f"{found['failed']} requests failed; the first: {found['first_failure']}", file=sys.stderr)
    return found


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            response.read()
    except (urllib.error.URLError, OSError):
        return False
    return True
