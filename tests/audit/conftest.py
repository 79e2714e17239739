"""A server that audits on each kind of store; its events are folded when a test says so."""

from collections.abc import Iterator

import pytest

from fhir_server.audit import fold
from fhir_server.server import Server
from tests.audit.trail import Trail
from tests.auth.door import smart


@pytest.fixture
def trail(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trail]:
    """An empty one, once for each kind of store."""

    async def another_has_it(server: Server, process: str) -> bool:
        return False

    monkeypatch.setattr(fold, "_hold", another_has_it)
    opened = Trail(smart(store_url, rate_limit=0))
    yield opened
    opened.close()
