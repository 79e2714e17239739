"""SQLite alone: what is new since a time is found without a walk through all that is older. store/sqlite/history.py"""

import sqlite3
from pathlib import Path
from random import Random

import pytest

from fhir_server.search.predicate import EVERYTHING
from fhir_server.store.seam import Change, Tx
from fhir_server.store.sqlite import history, open_sqlite
from fhir_server.store.sqlite.rows import Hasher
from tests.deep import deep

OLD, NEW = 3000, 20


def steps(connection: sqlite3.Connection, hasher: Hasher, type: str | None, since: int) -> tuple[int, list[str]]:
    """How many hundreds of SQLite's steps a page takes, and the ids on it."""
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1

    connection.set_progress_handler(tick, 100)
    page = history.page(connection, hasher, type, None, EVERYTHING, since, None, 50, None)
    connection.set_progress_handler(None, 0)
    return count, [row.id for row in page.rows]


async def test_what_is_new_is_found_without_a_walk_through_what_is_old(tmp_path: Path) -> None:
    store = await open_sqlite(f"sqlite:///{tmp_path}/fhir.db")

    async def work(tx: Tx) -> None:
        for number in range(OLD + NEW):
            type = "Patient" if number % 3 else "Basic"
            await tx.write(Change(type, str(number), 1, number, "PUT", b"{}", ()))

    await store.transact(work)
    new = list(reversed(range(OLD, OLD + NEW)))
    for type, ids in ((None, new), ("Basic", [number for number in new if number % 3 == 0])):
        taken, found = await store.reading(lambda c, t=type: steps(c, store.hasher, t, OLD))  # type: ignore[misc]
        assert found == [str(number) for number in ids]
        assert taken < OLD / 100, "fewer steps than there are old versions"
    assert (await store.reading(lambda c: steps(c, store.hasher, None, OLD + NEW)))[1] == []
    await store.close()


@pytest.mark.parametrize("most", ["3", "10000"])
async def test_times_that_go_back_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: str) -> None:
    """A clock that is set back gives a later version an earlier time."""
    monkeypatch.setattr(history, "FIRST", history.FIRST.replace("10000", most))
    random = Random(7)
    times = [random.randrange(50) for _ in range(deep(200, 2000))]
    store = await open_sqlite(f"sqlite:///{tmp_path}/fhir.db")

    async def work(tx: Tx) -> None:
        for number, time in enumerate(times):
            await tx.write(Change("Basic", str(number), 1, time, "PUT", b"{}", ()))

    await store.transact(work)
    for since in range(52):
        page = await store.history("Basic", None, EVERYTHING, since, None, len(times))
        late = [str(number) for number, time in enumerate(times) if time >= since]
        assert [row.id for row in page.rows] == late[::-1]
    await store.close()
