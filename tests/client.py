"""A FHIR client over the real application and a real store, without a socket."""

import asyncio
from collections.abc import Coroutine, Iterator
from json import dumps
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
            more["content"] = json if isinstance(json, bytes | str) else dumps(json)
        url = "/fhir/" + path if not path.startswith("/") else path
        return self.run(self.http.request(method, url, headers=headers, **more))

    def create(self, resource: dict[str, Any]) -> str:
        """Create a resource; returns its id."""
        answer = self("POST", resource["resourceType"], resource)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def versions(self) -> int:
        """How many versions there are of everything: nothing was changed if it stays."""
        return len(self("GET", "_history?_count=1000").json().get("entry", ()))

    def close(self) -> None:
        """Close the store and the loop."""
        self.run(self.http.aclose())
        self.run(self._lifespan.__aexit__(None, None, None))
        self.loop.close()


@pytest.fixture
def client(store_url: str) -> Iterator[Client]:
    """A client of an empty server, once for each kind of store."""
    opened = Client(Settings(store=store_url, base_url=BASE, auth="open", access_log=False))
    yield opened
    opened.close()


def refusal(answer: httpx2.Response) -> dict[str, Any]:
    """The first issue of an answer, which must be an OperationOutcome that a person can act on."""
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome", answer.text
    assert answer.headers["content-type"].startswith("application/fhir+json")
    issue: dict[str, Any] = outcome["issue"][0]
    assert issue["severity"] == "error"
    assert len(issue["diagnostics"]) > 10
    return issue
