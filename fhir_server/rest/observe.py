"""What is seen of each request: an id, a log line and metrics, none with a query value or patient data."""

import asyncio
import random
import re
import sys
import time
from functools import lru_cache

import msgspec
from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fhir_server.fhir.dates import instant

SECONDS = Histogram(
    "fhir_request_seconds",
    "Time to answer a request",
    ("interaction", "status"),
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
)
_ID = re.compile(rb"[A-Za-z0-9\-._]{1,64}")
_FLUSH_SECONDS = 0.5  # lines are written out together: a flush per line costs more than a read


class Observe:
    """Pure ASGI middleware: X-Request-Id (the client's if it is sound), an access log line, counters."""

    def __init__(self, app: ASGIApp, log: bool) -> None:
        self.app, self.log = app, log
        self._series: dict[tuple[str, int], Histogram] = {}
        self._flushing = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()
        request_id = _request_id(scope)
        scope["request_id"] = request_id.decode()
        seen = [500, 0]

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen[0] = message["status"]
                message["headers"].append((b"x-request-id", request_id))
            else:
                seen[1] += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, observed)
        finally:
            self._record(scope, seen[0], seen[1], time.perf_counter() - begun)

    def _record(self, scope: Scope, status: int, size: int, seconds: float) -> None:
        name = scope.get("interaction", "other")
        series = self._series.get((name, status))
        if series is None:
            series = self._series[name, status] = SECONDS.labels(name, str(status))
        series.observe(seconds)
        if self.log:
            line = {
                "time": _second(int(time.time())),
                "request": scope["request_id"],
                "method": scope["method"][:20],
                "interaction": name,
                "status": status,
                "bytes": size,
                "ms": round(seconds * 1000, 2),
            }
            sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
            if not self._flushing:
                self._flushing = True
                asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        self._flushing = False
        sys.stdout.flush()


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return instant(seconds * 1_000_000)


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _ID.fullmatch(value):
            return bytes(value)
    return b"%016x" % random.getrandbits(64)  # tells requests apart; it is no secret
