"""The raw limits of the machine for one response: a bare ASGI function, and a Starlette route that returns bytes.

BENCH_BODY=file uvicorn bench.raw:bare
BENCH_BODY=file uvicorn bench.raw:routed
"""

import os
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

BODY = Path(os.environ.get("BENCH_BODY", os.devnull)).read_bytes()
JSON = "application/fhir+json"
HEADERS = [(b"content-type", JSON.encode()), (b"content-length", str(len(BODY)).encode())]


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """No routing, no objects: what uvicorn itself can do."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": BODY})


async def _read(request: Request) -> Response:
    return Response(BODY, media_type=JSON)


routed = Starlette(routes=[Route("/fhir/{type}/{id}", _read)])
