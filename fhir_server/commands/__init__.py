"""What the command line can do, one module per command: `run(args, settings)` returns the exit code."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fhir_server.app import open_server
from fhir_server.server import Server
from fhir_server.settings import Settings


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Server]:
    """A Server over the settings' store, which is closed afterwards. Raises StoreError with the cure."""
    server = await open_server(settings)
    try:
        yield server
    finally:
        await server.store.close()
