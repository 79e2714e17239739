"""The journal fails closed, gathers what arrives together, and survives whoever dies. https://www.sqlite.org/wal.html"""

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import pytest

from fhir_server.app import open_server
from fhir_server.audit.fold import auditing, fold
from fhir_server.audit.journal import BATCH, PREFIX, Journal, batch_of
from fhir_server.audit.record import Access
from fhir_server.interactions.job_run import stop
from fhir_server.store.seam import Conflict, Store, StoreError
from tests.audit.trail import Trail, count
from tests.auth.door import smart


def one(number: int, **more: Any) -> Access:
    return Access(number * 1000, f"r{number}", 200, "read", "Patient", "p1", ("p1",), **more)


async def journalled(store: Store) -> list[str]:
    """The request ids in the journal, in order."""
    rows = await store.list_state(PREFIX, 1000)
    return [one.request for _, value in rows for one in batch_of(value)]


async def test_what_arrives_while_a_batch_is_written_makes_the_next(store: Store) -> None:
    journal = Journal(store, "process")
    await asyncio.gather(*(journal.write(one(number)) for number in range(100)))
    assert await journalled(store) == [f"r{number}" for number in range(100)]
    assert len(await store.list_state(PREFIX, 1000)) <= 2


async def test_a_large_batch_is_cut(store: Store) -> None:
    journal = Journal(store, "process")
    large = tuple(f"patient-{number:030}" for number in range(2000))
    accesses = [Access(number, f"r{number}", 200, "read", "", "", large) for number in range(12)]
    await journal.write(*accesses)
    rows = await store.list_state(PREFIX, 1000)
    assert await journalled(store) == [f"r{number}" for number in range(12)]
    assert max(len(value) for _, value in rows) < 2 * BATCH + 100


async def test_what_waits_is_written_when_the_server_stops(store: Store) -> None:
    journal = Journal(store, "process")
    waiting = [asyncio.create_task(journal.write(one(number))) for number in range(5)]
    await asyncio.sleep(0)
    await journal.close()
    await asyncio.gather(*waiting)
    assert len(await journalled(store)) == 5


async def test_a_client_that_goes_away_does_not_take_the_batch_along(store: Store) -> None:
    journal = Journal(store, "process")
    gone, stays = asyncio.create_task(journal.write(one(1))), asyncio.create_task(journal.write(one(2)))
    await asyncio.sleep(0)
    gone.cancel()
    await stays
    assert await journalled(store) == ["r1", "r2"]


@pytest.mark.parametrize("error", [StoreError("the disk is full"), OSError("odd")])
def test_without_a_journal_there_is_no_answer(
    trail: Trail, monkeypatch: pytest.MonkeyPatch, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    ehr = trail.bearer()
    trail.put(ehr, "Patient", "p1", name=[{"family": "Secret"}])
    put, store = type(trail.server.store).put_state, type(trail.server.store)

    async def broken(self: Any, key: str, *more: Any, **named: Any) -> bool:
        if key.startswith(PREFIX):
            raise error
        return await put(self, key, *more, **named)

    monkeypatch.setattr(store, "put_state", broken)
    for path in ("Patient/p1", "Patient", "Patient/none", "Nonsense"):
        answer = trail("GET", path, headers=ehr)
        assert answer.status_code == 503
        assert "Secret" not in answer.text
        assert answer.headers["retry-after"] == "5"
    answer = trail.form("/auth/token", {"grant_type": "client_credentials"})
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    monkeypatch.setattr(store, "put_state", put)
    assert trail("GET", "Patient/p1", headers=ehr).status_code == 200
    assert "not journalled" in caplog.text


def test_two_that_fold_at_once_count_once(trail: Trail) -> None:
    """Neither the lease nor luck decides: whoever commits second leaves nothing."""
    ehr = trail.bearer()
    trail.put(ehr, "Patient", "p1")
    for _ in range(7):
        trail("GET", "Patient/p1", headers=ehr)

    async def both() -> list[Any]:
        return list(await asyncio.gather(*(fold(trail.server) for _ in range(3)), return_exceptions=True))

    results = trail.run(both())
    assert all(isinstance(result, int | Conflict) for result in results), results
    assert sum(result for result in results if isinstance(result, int)) == 8
    (event,) = trail.events("patient=p1&subtype=read")
    assert count(event) == 7


def test_a_fold_that_dies_before_it_deletes_is_not_repeated(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    ehr = trail.bearer()
    trail.put(ehr, "Patient", "p1")

    async def dies(self: Any, key: str) -> bool:
        raise StoreError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(type(trail.server.store), "delete_state", dies)
        with pytest.raises(StoreError):
            trail.fold()
    assert len(trail.run(trail.server.store.list_state(PREFIX, 10))) == 1, "what was folded is still there"
    trail("GET", "Patient/p1", headers=ehr)
    assert [count(one) for one in trail.events("patient=p1")] == [1, 1]
    rows = trail.run(trail.server.store.list_state(PREFIX, 10))
    assert [one.interaction for _, value in rows for one in batch_of(value)] == ["search-type"], "that of the test"


def test_a_fold_that_fails_leaves_the_journal(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    ehr = trail.bearer()
    trail.put(ehr, "Patient", "p1")

    async def dies(self: Any, work: Any) -> Any:
        raise StoreError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(type(trail.server.store), "transact", dies)
        with pytest.raises(StoreError):
            trail.fold()
    assert [count(one) for one in trail.events("patient=p1")] == [1]


def test_thousands_of_batches_of_several_processes(trail: Trail) -> None:
    async def write(process: str) -> None:
        journal = Journal(trail.server.store, process)
        for number in range(700):
            await journal.write(one(number, client=process))

    async def all() -> int:
        await asyncio.gather(write("a"), write("b"))
        return await fold(trail.server)

    assert trail.run(all()) == 1400
    assert sorted(count(event) for event in trail.events("patient=p1")) == [700, 700]
    assert trail.fold() == 1, "only the search"


async def test_open_mode_and_a_setting_audit_nothing(tmp_path: Any) -> None:
    settings = smart(f"sqlite:///{tmp_path}/fhir.db")
    async with open_server(settings) as server:
        for quiet in (replace(settings, audit=False), replace(settings, auth="open")):
            async with auditing(replace(server, settings=quiet)) as journal:
                assert journal is None
        async with auditing(server) as journal:
            assert journal is not None


async def test_a_server_stops_whenever_it_is_asked_to(store_url: str) -> None:
    """Its fold may be in the middle of anything, and a cancellation may get lost on the way."""
    async with open_server(smart(store_url)) as server:
        for number in range(60):
            async with auditing(server):
                for _ in range(number % 30):
                    await asyncio.sleep(0)
                await asyncio.sleep(0.0004 * (number % 7))


async def test_a_task_that_loses_a_cancellation_is_stopped_all_the_same() -> None:
    async def deaf() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        await asyncio.sleep(3600)

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await asyncio.wait_for(stop(task), 10)
    assert task.cancelled()
