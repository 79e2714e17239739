"""Is the process alive, is its store, and how does it do: /healthz, /readyz, /metrics."""

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from fhir_server.store.seam import Busy, StoreError


async def healthz(request: Request) -> Response:
    """200 as long as the process answers."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """200 when the store answers; 503 with the reason when it does not."""
    server = request.app.state.fhir.server
    if server is None:
        return PlainTextResponse("starting\n", 503)
    try:
        await server.store.check()
    except (StoreError, Busy) as error:
        return PlainTextResponse(f"{error}\n", 503)
    return PlainTextResponse("ready\n")


async def metrics(request: Request) -> Response:
    """The counters of this process in the Prometheus text format."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
