"""Transactions that another process takes for those of a dead one are run again, and leave what one run leaves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from random import Random
from typing import Any

import pytest

from fhir_server.search.predicate import EVERYTHING
from fhir_server.store.mongo import MongoStore, open_mongo, orphan, write
from fhir_server.store.mongo.orphan import end_orphans
from fhir_server.store.seam import Change, Tx
from tests import mongod

pytestmark = pytest.mark.mongo


@pytest.fixture
async def store(mongo: mongod.MongoServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MongoStore]:
    """One whose transactions look dead as soon as they wait."""
    monkeypatch.setattr(orphan, "IDLE", 0)
    with mongo.lent() as url:
        opened = await open_mongo(url)
        yield opened
        await opened.close()


@contextlib.contextmanager
def unknown(session: Any) -> Iterator[None]:
    """The session as another process sees it: not one of its own."""
    yield


async def count(tx: Tx) -> None:
    """Raise a number that is kept, with a pause between what is read and what is written."""
    found = await tx.get_state("number")
    await tx.own(["number"])
    await asyncio.sleep(0.002)
    await tx.put_state("number", str(int(found[0] if found else 0) + 1).encode(), found[1] if found else 0)
    await tx.write(Change("Basic", "b", int(found[0] if found else 0) + 1, 0, "PUT", b"{}", ()))


async def test_an_ended_transaction_is_run_again(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "living", unknown)
    runs = 0

    async def work(tx: Tx) -> None:
        nonlocal runs
        runs += 1
        await tx.get_state("number")
        if runs <= 3:
            assert await end_orphans(store.database) >= 1  # what another test left open may be among them
        await count(tx)

    await store.transact(work)
    assert runs == 4
    assert await store.get_state("number") == (b"1", 1)


async def test_whenever_it_is_ended_it_happens_once(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between commands, during one, during the commit."""
    monkeypatch.setattr(write, "living", unknown)
    random, ended = Random(1), 0

    async def end() -> None:
        nonlocal ended
        while True:
            await asyncio.sleep(random.random() * 0.2)
            ended += await end_orphans(store.database)

    ending = asyncio.create_task(end())
    done = 0
    while ended < 8:
        await store.transact(count)
        done += 1
    ending.cancel()
    await asyncio.gather(ending, return_exceptions=True)
    assert (await store.get_state("number") or (b"",))[0] == str(done).encode()
    row = await store.read("Basic", "b", EVERYTHING)
    assert row is not None
    assert row.version == done


async def test_a_process_does_not_end_its_own(store: MongoStore) -> None:
    runs = 0

    async def work(tx: Tx) -> None:
        nonlocal runs
        runs += 1
        await tx.get_state("number")
        assert await end_orphans(store.database) == 0
        await count(tx)

    await store.transact(work)
    assert runs == 1
