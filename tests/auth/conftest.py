"""An authorization server on a real store, with real keys made by the cryptography library."""

import asyncio
from collections.abc import Iterator

import pytest

from fhir_server.settings import Settings
from tests.auth.door import BASE, Door
from tests.auth.person import Person, fill
from tests.auth.walk import app, browser, page, record_server
from tests.client import Client

__all__ = ["app", "browser", "page", "record_server"]


@pytest.fixture
def door(store_url: str) -> Iterator[Door]:
    """An empty authorization server, once for each kind of store."""
    opened = Door(Settings(store=store_url, base_url=BASE, auth="smart", access_log=False))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def shared_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """One authorization server for a whole module of refusals, on SQLite, without a rate limit."""
    url = f"sqlite:///{tmp_path_factory.mktemp('door') / 'fhir.db'}"
    opened = Door(Settings(store=url, base_url=BASE, auth="smart", access_log=False, rate_limit=0))
    yield opened
    opened.close()


@pytest.fixture
def smart(store_url: str) -> Iterator[Client]:
    """An application with patients, users and apps, once for each kind of store, without a rate limit."""
    settings = Settings(store=store_url, auth="smart", access_log=False, rate_limit=0)
    asyncio.run(fill(settings))
    opened = Client(settings)
    yield opened
    opened.close()


@pytest.fixture
def person(smart: Client) -> Iterator[Person]:
    """Someone with a browser."""
    one = Person(smart)
    yield one
    smart.run(one.http.aclose())


@pytest.fixture(scope="module")
def shared_smart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The same once for a whole module, on SQLite."""
    url = f"sqlite:///{tmp_path_factory.mktemp('smart') / 'fhir.db'}"
    settings = Settings(store=url, auth="smart", access_log=False, rate_limit=0)
    asyncio.run(fill(settings))
    opened = Client(settings)
    yield opened
    opened.close()


@pytest.fixture
def visitor(shared_smart: Client) -> Iterator[Person]:
    """Someone with a fresh browser at the shared application."""
    one = Person(shared_smart)
    yield one
    shared_smart.run(one.http.aclose())
