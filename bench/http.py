"""A load generator in a process of its own: keep-alive connections over raw sockets. https://www.rfc-editor.org/rfc/rfc9112

    python -m bench.http GET http://127.0.0.1:8080/fhir/Patient/1 --clients 16 --seconds 5

A request's bytes are built once and a response is read no further than its Content-Length, so that on a shared machine
the generator takes less processor time than the server it measures. Prints one JSON object.
"""

import argparse
import asyncio
import itertools
import json
import re
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Client(asyncio.Protocol):
    """One connection that always has one request under way, until `deadline`."""

    def __init__(self, requests: Iterator[bytes], deadline: float, done: asyncio.Future[None]) -> None:
        self.requests, self.deadline, self.done = requests, deadline, done
        self.times: list[float] = []
        self.failed = 0
        self.first_failure = ""
        self.buffer = b""
        self.wanted = 0  # bytes of the response, head included; 0 until the head is complete

    def itself(self) -> "Client":
        """The protocol factory that asyncio asks for."""
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but ancestry
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server hung up: what was measured counts, the request under way is a failure."""
        if not self.done.done():
            self.failed += 1
            self.first_failure = self.first_failure or f"connection lost: {exc}"
            self.done.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Count the response when it is complete, then send the next request."""
        self.buffer = self.buffer + data if self.buffer else data
        if not self.wanted:
            head = self.buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            length = LENGTH.search(self.buffer, 0, head + 2)
            self.wanted = head + 4 + (int(length[1]) if length else 0)
        if len(self.buffer) < self.wanted:
            return
        now = time.perf_counter()
        self.times.append(now - self.began)
        if self.buffer[9:10] != b"2":
            self.failed += 1
            self.first_failure = self.first_failure or self.buffer[:600].decode(errors="replace")
        self.buffer, self.wanted = b"", 0
        if now < self.deadline:
            self._send()
        elif not self.done.done():
            self.done.set_result(None)
            self.transport.close()

    def _send(self) -> None:
        self.began = time.perf_counter()
        self.transport.write(next(self.requests))


def request(method: str, url: str, body: bytes = b"", kind: str = "application/fhir+json", header: str = "") -> bytes:
    """The bytes of one HTTP/1.1 request with a body of a kind, and one more header (`Name: value`) if there is one."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    head = f"{method} {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: application/fhir+json\r\n"
    head += f"{header}\r\n" if header else ""
    if body:
        head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


async def run(url: str, requests: list[bytes], clients: int, seconds: float) -> dict[str, float | str]:
    """Requests per second, latencies in ms and failures of `clients` connections that send `requests` in turn."""
    parts = urlsplit(url)
    turn = itertools.cycle(requests)

    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    all_clients = []
    for _ in range(clients):
        client = Client(turn, began + seconds, loop.create_future())
        await loop.create_connection(partial(Client.itself, client), parts.hostname or "", parts.port or 80)
        all_clients.append(client)
    await asyncio.gather(*(client.done for client in all_clients))
    elapsed = time.perf_counter() - began
    times = sorted(time for client in all_clients for time in client.times)
    return {
        "per_second": round(len(times) / elapsed, 1),
        "p50_ms": round(1000 * times[len(times) // 2], 3) if times else 0.0,
        "p95_ms": round(1000 * times[len(times) * 95 // 100], 3) if times else 0.0,
        "p99_ms": round(1000 * times[len(times) * 99 // 100], 3) if times else 0.0,
        "requests": len(times),
        "failed": sum(client.failed for client in all_clients),
        "first_failure": next((client.first_failure for client in all_clients if client.first_failure), ""),
    }


def main() -> None:
    """Parse the command line, run, print JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.http", description=__doc__.splitlines()[0])
    parser.add_argument("method")
    parser.add_argument("url", help="a URL, or @FILE with one URL per line, asked for in turn")
    parser.add_argument("--body", type=Path, help="file with the body of every request")
    parser.add_argument("--forms", type=Path, help="file with one form per line, sent in turn instead of a body")
    parser.add_argument("--header", default="", help="one more header of every request, as `Name: value`")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5)
    args = parser.parse_args()
    urls = Path(args.url[1:]).read_text().split() if args.url.startswith("@") else [args.url]
    body = args.body.read_bytes() if args.body else b""
    requests = [request(args.method, url, body, header=args.header) for url in urls]
    if args.forms:
        forms = args.forms.read_bytes().split()
        requests = [request(args.method, urls[0], form, "application/x-www-form-urlencoded") for form in forms]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(runner.run(run(urls[0], requests, args.clients, args.seconds)), sys.stdout)


if __name__ == "__main__":
    main()
