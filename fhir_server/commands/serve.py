"""`fhir-server serve`: the HTTP API on uvicorn, in one process or several. https://www.uvicorn.org/settings/"""

import argparse
import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import Any

import uvicorn

from fhir_server.app import create_app
from fhir_server.settings import PREFIX, Settings, from_environ
from fhir_server.store import open_store


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Serve until interrupted. Raises ValueError for settings that cannot serve, StoreError for an unusable store."""
    settings.check()
    asyncio.run(_try_store(settings))
    how: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "log_level": "warning",
        "access_log": False,  # the application writes its own, as JSON
        "server_header": False,
        "timeout_graceful_shutdown": 10,
        # Longer than the 60 s of common proxies: whoever of the two ends an idle connection may cut off a request.
        "timeout_keep_alive": 75,
    }
    print(f"fhir-server: serving {settings.base} from {settings.store.split('@')[-1]}", flush=True)
    if settings.workers == 1:
        uvicorn.run(create_app(settings), **how)
    else:
        os.environ |= {PREFIX + item.name.upper(): str(getattr(settings, item.name)) for item in fields(settings)}
        uvicorn.run("fhir_server.commands.serve:worker", factory=True, workers=settings.workers, **how)
    return 0


def worker() -> Callable[..., Awaitable[None]]:
    """The application of one of several processes, which finds its settings in the environment."""
    return create_app(from_environ())


async def _try_store(settings: Settings) -> None:
    """Say at once, and once, that a store cannot be used: not in every worker, not as a traceback."""
    store = await open_store(settings.store)
    try:
        await store.check()
    finally:
        await store.close()
