"""What all tests share: a fresh store of either kind, on a real SQLite file or a real mongod."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from fhir_server.store import open_store
from fhir_server.store.seam import Store
from tests import mongod

settings.register_profile(
    "tests", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
settings.load_profile("tests")

SHARED = Path(os.environ.get("FHIR_SERVER_SHARED_DATA", Path(__file__).parents[2] / "shared"))
STORES = ("sqlite", pytest.param("mongodb", marks=pytest.mark.mongo))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, as the server does."""
    return "asyncio"


@pytest.fixture(scope="session")
def mongo() -> Iterator[mongod.MongoServer]:
    """One mongod for the whole run of a test process."""
    try:
        server = mongod.start()
    except mongod.Unavailable as reason:
        if mongod.required():
            raise
        pytest.skip(str(reason))
    yield server
    server.stop()


@pytest.fixture(params=STORES)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty store, once for each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'fhir.db'}"
        return
    server: mongod.MongoServer = request.getfixturevalue("mongo")
    with server.lent() as url:
        yield url


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    """An empty, open store, once for each kind."""
    opened = await open_store(store_url)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of published examples and definitions; tests that want it are skipped where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip("The published examples are not here: set FHIR_SERVER_SHARED_DATA to their folder.")
    return SHARED
