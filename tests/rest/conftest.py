"""A FHIR client over the real application and a real store, without a socket."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import httpx2
import pytest

from fhir_server.app import create_app
from fhir_server.settings import Settings

T = TypeVar("T")
BASE = "http://fhir.example:8134/odd/base"  # nothing may assume where the server says it is


class Client:
    """HTTP requests to one application in one event loop, called without await."""

    def __init__(self, settings: Settings) -> None:
        self.loop = asyncio.new_event_loop()
        self.app = create_app(settings)
        self._lifespan = self.app.router.lifespan_context(self.app)
        self.run(self._lifespan.__aenter__())
        transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)
        self.http = httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Let the event loop do one thing."""
        return self.loop.run_until_complete(work)

    def __call__(self, method: str, path: str, json: Any = None, headers: Any = None, **more: Any) -> httpx2.Response:
        if json is not None:
            headers = {"content-type": "application/fhir+json", **(headers or {})}
            more["content"] = json if isinstance(json, bytes | str) else __import__("json").dumps(json)
        url = "/fhir/" + path if not path.startswith("/") else path
        return self.run(self.http.request(method, url, headers=headers, **more))

    def close(self) -> None:
        """Close the store and the loop."""
        self.run(self.http.aclose())
        self.run(self._lifespan.__aexit__(None, None, None))
        self.loop.close()


@pytest.fixture
def client(store_url: str) -> Iterator[Client]:
    """A client of an empty server, once for each kind of store."""
    opened = Client(Settings(store=store_url, base_url=BASE, access_log=False))
    yield opened
    opened.close()
