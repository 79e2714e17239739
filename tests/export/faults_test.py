"""An export that is cut short at any step is the same in the end. https://hl7.org/fhir/uv/bulkdata/STU2/export.html"""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.export import perform
from fhir_server.export.files import Output
from fhir_server.export.job import File
from fhir_server.interactions.lease import Lease, Superseded
from fhir_server.store.seam import Busy, Query
from tests.client import BASE
from tests.export.conftest import Researcher, observation, patient, settings

PLAIN = "$export?_type=Patient,Observation"
BLOCKS = "$export?_type=Patient,Observation&organizeOutputBy=Patient&allowPartialManifests=true"


@pytest.fixture
def filled(store_url: str, tmp_path: Path) -> Iterator[Researcher]:
    """A client of a server whose files do not divide what there is."""
    client = Researcher(settings(store_url, tmp_path, export_file=3))
    client.put(*(patient(f"p{number}") for number in range(5)))
    client.put(*(observation(f"o{number}", f"p{number % 5}") for number in range(7)))
    yield client
    client.close()


def told(client: Researcher, path: str) -> tuple[Any, list[str]]:
    """What an export says but for its id and time, and what its files hold."""
    begun = client.begun(path)
    answer = client.ended(begun)
    assert answer.status_code == 200, answer.text
    manifest = answer.json()
    pages = [manifest]
    while following := [link["url"] for link in pages[-1].get("link", ()) if link["relation"] == "next"]:
        pages.append(client("GET", following[0].removeprefix(f"{BASE}/")).json())
    urls = [item["url"].removeprefix(f"{BASE}/") for page in pages for item in page["output"]]
    texts = [client("GET", url).text for url in urls]
    plain = [{**page, "transactionTime": ""} for page in pages]
    return json.loads(json.dumps(plain).replace(begun.rpartition("/")[2], "ID")), texts


def faulty(monkeypatch: pytest.MonkeyPatch, how: str, when: Callable[[int], bool]) -> list[int]:
    """Have renewals by exports themselves fail: `busy` are not stored, `stopped` ends the work behind the storing."""
    renew, calls = Lease.renew, [0]

    async def renewed(lease: Lease) -> None:
        task = asyncio.current_task()
        if task is None or task.get_name().startswith("Task-"):  # the heartbeat
            return await renew(lease)
        calls[0] += 1
        if not when(calls[0]):
            return await renew(lease)
        if how == "busy":
            raise Busy("by the test")
        await renew(lease)
        raise asyncio.CancelledError

    monkeypatch.setattr(Lease, "renew", renewed)
    return calls


@pytest.mark.parametrize(("how", "path"), [("busy", PLAIN), ("stopped", BLOCKS)])
def test_a_fault_at_any_step_leaves_no_trace(
    filled: Researcher, monkeypatch: pytest.MonkeyPatch, how: str, path: str
) -> None:
    expected = told(filled, path)
    assert sum(text.count('"resourceType":"Observation"') for text in expected[1]) == 7
    number = 0
    while True:
        number += 1
        with monkeypatch.context() as patch:
            calls = faulty(patch, how, lambda call, at=number: call == at)  # type: ignore[misc]
            assert told(filled, path) == expected, f"renewal {number}"
            if calls[0] < number:
                break
    assert number > 12


def test_a_store_that_is_busy_now_and_then_delays_an_export(
    filled: Researcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More often than attempts in a row are made, with a file in between."""
    expected = told(filled, PLAIN)
    faulty(monkeypatch, "busy", lambda call: call % 3 == 0)
    assert told(filled, PLAIN) == expected


@pytest.mark.parametrize("type", ["Patient", "Observation"])
def test_a_fault_at_the_beginning_loses_nothing(filled: Researcher, monkeypatch: pytest.MonkeyPatch, type: str) -> None:
    expected = told(filled, PLAIN)
    store = filled.server.store
    kind: Any = store.__class__
    count, failed = kind.count, []

    async def counted(self: Any, query: Query) -> int:
        if query.types == (type,) and not failed:
            failed.append(type)
            raise Busy("by the test")
        return int(await count(self, query))

    monkeypatch.setattr(kind, "count", counted)
    assert told(filled, PLAIN) == expected
    assert failed


def test_who_stops_while_a_file_is_put_in_place_waits_for_it(
    filled: Researcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would come in place of the one that is written when the export goes on."""
    expected, finish = told(filled, PLAIN), Output.finish
    begun, go = threading.Event(), threading.Event()

    def slowly(out: Output) -> File:
        begun.set()
        assert go.wait(30)
        return finish(out)

    monkeypatch.setattr(Output, "finish", slowly)
    status = filled.begun(PLAIN)

    async def stopped() -> None:
        async with asyncio.timeout(30):
            while not begun.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        (task,) = filled.server.exports
        task.cancel()
        await asyncio.sleep(0.1)
        assert not task.done()
        go.set()
        await asyncio.wait({task})

    filled.run(stopped())
    assert len(filled.lines(filled.ended(status).json())) == sum(text.count("\n") for text in expected[1])


def test_who_dies_while_sources_of_blocks_are_removed_needs_them_no_more(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Researcher(settings(store_url, tmp_path, job_lease=1))
    client.put({"resourceType": "Practitioner", "id": "d1"})
    forget, left = perform.forget_notes, [1]

    async def forgotten(*given: Any) -> None:
        await forget(*given)
        if left:
            left.pop()
            raise Superseded  # nothing is stored any more, as by one who is dead

    monkeypatch.setattr(perform, "forget_notes", forgotten)
    manifest = client.manifest("$export?_type=Patient,Practitioner&organizeOutputBy=Patient")
    assert (manifest["output"], left) == ([], [])
    client.close()
