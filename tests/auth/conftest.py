"""An authorization server on a real store, with real keys made by the cryptography library."""

from collections.abc import Iterator

import pytest

from fhir_server.settings import Settings
from tests.auth.door import BASE, Door


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
