"""`kill -9` of the server or of mongod while clients write over HTTP: every acknowledged write is there,
    none is half there.

`make test` kills a few times, `make test-deep` 500 times, PIECE after PIECE on a new store each.
"""

import asyncio
import random
import signal
from collections.abc import Callable, Iterator

import pytest

from fhir_server.store import open_store
from tests import mongod
from tests.crash.checks import check, check_others
from tests.crash.load import Load
from tests.deep import deep
from tests.serving import served

PIECE = deep(2, 25)
SERVER_PIECES = deep(1, 8)  # on each store
MONGOD_PIECES = deep(1, 4)
FEW = 30  # acknowledged writes before a kill


async def until_killed(load: Load, seed: int, kill: Callable[[], object]) -> None:
    """Write for a while, then call `kill`; return when every request has been answered or has failed."""
    task = asyncio.create_task(load.run())
    enough = load.acknowledged() + FEW
    for _ in range(6000):
        if load.acknowledged() >= enough:
            break
        assert not task.done(), task
        await asyncio.sleep(0.01)
    assert load.acknowledged() >= enough, "the server does not take writes"
    await asyncio.sleep(random.Random(seed).random() * 0.3)
    kill()
    load.stopped = True
    await asyncio.wait_for(task, 90)


async def agreed(url: str, load: Load) -> None:
    store = await open_store(url)
    try:
        await check(store, load.transactions)
        await check_others(store, load.others)
    finally:
        await store.close()


@pytest.mark.timeout(120 + 30 * PIECE)
@pytest.mark.parametrize("piece", range(SERVER_PIECES))
async def test_a_killed_server_loses_nothing(store_url: str, piece: int) -> None:
    load = Load("", 1)
    for number in range(PIECE):
        with served(store_url, FHIR_SERVER_ACCESS_LOG="false") as server:
            load.base = server.base
            await until_killed(load, piece * PIECE + number, lambda: server.process.send_signal(signal.SIGKILL))
            server.process.wait()
        await agreed(store_url, load)
    assert load.acknowledged() >= FEW * PIECE


@pytest.fixture
def own_mongod() -> Iterator[mongod.MongoServer]:
    """A mongod that no other test needs alive."""
    try:
        server = mongod.start()
    except mongod.Unavailable as reason:
        if mongod.required():
            raise
        pytest.skip(str(reason))
    if mongod.binary() is None:
        pytest.skip("The MongoDB that MONGODB_URI names is not ours to kill.")
    yield server
    server.stop()


@pytest.mark.mongo
@pytest.mark.timeout(120 + 30 * PIECE)
@pytest.mark.parametrize("piece", range(MONGOD_PIECES))
async def test_a_killed_mongod_loses_nothing(own_mongod: mongod.MongoServer, piece: int) -> None:
    url = own_mongod.uri("crash")
    load = Load("", 1)

    def crash() -> None:
        own_mongod.kill()
        own_mongod.run()

    with served(url, FHIR_SERVER_ACCESS_LOG="false") as server:
        load.base = server.base
        for number in range(PIECE):
            await until_killed(load, piece * PIECE + number, crash)
            await agreed(url, load)
    assert load.acknowledged() >= FEW * PIECE
