"""What was committed up to the transactionTime, whole, and nothing after it. https://hl7.org/fhir/uv/bulkdata/STU2/export.html#response---complete-status"""

import asyncio
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from fhir_server.export import perform
from fhir_server.fhir.dates import bounds
from fhir_server.store.seam import Change, Tx
from tests.deep import deep
from tests.export.conftest import Researcher, group, observation, patient

PIECES = 2


def test_a_transaction_held_open_across_the_kick_off_is_whole_or_absent(client: Researcher) -> None:
    """Its resource bears the time at which it began: until it has ended, no transactionTime may lie behind that."""
    server = client.server
    client.put(patient("before"))
    go_on, inside = asyncio.Event(), asyncio.Event()

    async def work(tx: Tx) -> int:
        body = b'{"resourceType":"Patient","id":"held"}'
        await tx.write(Change("Patient", "held", 1, tx.began, "PUT", body, ()))
        await tx.read("Patient", "before")  # the server knows of the transaction now
        inside.set()
        await go_on.wait()
        return tx.began

    async def held() -> None:
        task = asyncio.create_task(server.store.transact(work))
        await inside.wait()
        point = asyncio.create_task(server.store.settled())
        done, _ = await asyncio.wait({point}, timeout=1.5)
        assert not done  # it waits for the transaction
        go_on.set()
        began, settled = await task, await point
        assert began <= settled

    client.run(held())
    rows = client.lines(client.manifest("$export?_type=Patient"))
    assert {row["id"] for row in rows} == {"before", "held"}


def test_all_that_is_settled_is_there_and_later_writes_are_later(client: Researcher) -> None:
    for number in range(5):
        client.put(patient(f"p{number}"))
        point = client.run(client.server.store.settled())
        updated = bounds(client("GET", f"Patient/p{number}").json()["meta"]["lastUpdated"])[0]
        assert updated <= point
        client.put(patient("later"))
        assert bounds(client("GET", "Patient/later").json()["meta"]["lastUpdated"])[0] > point


def test_what_changes_while_the_files_are_written_is_exported_as_it_was(
    client: Researcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every kind of change, both before and after the walk has come past."""
    client.put(*(patient(f"p{number:03}", gender="female") for number in range(100)))
    client("DELETE", "Patient/p050")
    client.put(*(observation(f"o{number}", f"p{number:03}") for number in range(5)))
    expected = {
        entry["resource"]["id"]: entry["resource"] for entry in client("GET", "Patient?_count=200").json()["entry"]
    }
    begin = perform.Writing._begin
    pages = 0

    async def meddling(writing: perform.Writing) -> None:
        await begin(writing)
        await meddle(("p001", "p099"), "before the walk")

    async def meddle(ids: tuple[str, ...], why: str) -> None:
        for id in ids:
            await client.http.put(f"/fhir/Patient/{id}", json=patient(id, gender="male", name=[{"text": why}]))

    take = perform.Writing._take

    async def turning(writing: perform.Writing, *given: Any) -> int:
        nonlocal pages
        pages += 1
        if pages == 2:  # behind p019
            await meddle(("p005", "p080"), "while walking")
            for method, id in (("DELETE", "p006"), ("DELETE", "p081")):
                await client.http.request(method, f"/fhir/Patient/{id}")
            await client.http.put("/fhir/Patient/new", json=patient("new"))
        return await take(writing, *given)

    monkeypatch.setattr(perform.Writing, "_begin", meddling)
    monkeypatch.setattr(perform.Writing, "_take", turning)
    monkeypatch.setattr("fhir_server.export.rows.LINES", 20)
    for path in ("$export?_type=Patient", "$export?_type=Patient&_typeFilter=Patient?gender=female"):
        pages = 0
        if "Filter" in path:
            monkeypatch.setattr(perform.Writing, "_begin", begin)
            client.put(*(patient(id, gender="female") for id in ("p001", "p099", "p005", "p080", "p006", "p081")))
            client("DELETE", "Patient/new")
            found = client("GET", "Patient?_count=200").json()["entry"]
            expected = {entry["resource"]["id"]: entry["resource"] for entry in found}
        rows = client.lines(client.manifest(path))
        assert len(rows) == len(expected)
        assert {row["id"]: row for row in rows} == expected
        assert pages > 3


def applied(client: Researcher, held: dict[tuple[str, str], Any], since: str) -> str:
    """Bring a copy up to date by one export; returns its transactionTime. Nothing is in it twice."""
    path = "$export?_type=Patient,Observation" + (f"&_since={since}" if since else "")
    manifest = client.manifest(path)
    gone = [
        entry["request"]["url"]
        for bundle in (client.lines(manifest, "deleted") if since else ())
        for entry in bundle["entry"]
    ]
    rows = {(row["resourceType"], row["id"]): row for row in client.lines(manifest)}
    assert len(rows) == sum(item["count"] for item in manifest["output"])
    assert len(gone) == len(set(gone))
    for name in gone:
        type, _, id = name.partition("/")
        assert (type, id) not in rows
        assert held.pop((type, id), None) is not None, f"{name} was never exported"
    for key, row in rows.items():
        assert held.get(key) != row, f"{key} was exported again unchanged"
    held.update(rows)
    return str(manifest["transactionTime"])


class Writer:
    """Someone who creates, updates, deletes and moves resources all the time."""

    def __init__(self, client: Researcher, random: Random) -> None:
        self.client, self.random, self.stopped, self.number = client, random, False, 0

    async def write(self) -> None:
        """Until stopped."""
        while not self.stopped:
            random = self.random
            type, id = random.choice(["Patient", "Observation"]), f"r{random.randrange(60)}"
            if random.random() < 0.3:
                await self.client.http.request("DELETE", f"/fhir/{type}/{id}")
            else:
                self.number += 1
                made = patient(id) if type == "Patient" else observation(id, f"r{random.randrange(60)}")
                made["language"] = f"x-{self.number % 7}"
                await self.client.http.put(f"/fhir/{type}/{id}", json=made)
            await asyncio.sleep(random.random() / 100)


@pytest.mark.timeout(deep(120, 5400))
@pytest.mark.parametrize("piece", range(PIECES))
def test_a_chain_of_exports_rebuilds_the_store(client: Researcher, piece: int) -> None:
    for run in range(deep(1, 100)):
        writer = Writer(client, Random(f"chain {piece} {run}"))
        tasks = [client.loop.create_task(writer.write()) for _ in range(2)]
        held: dict[tuple[str, str], Any] = {}
        since = ""
        for _ in range(3):
            since = applied(client, held, since)
        writer.stopped = True
        client.run(asyncio.wait_for(asyncio.gather(*tasks), 30))
        applied(client, held, since)
        now = client("GET", "?_type=Patient,Observation&_count=500").json()
        found = {(one["resource"]["resourceType"], one["resource"]["id"]): one["resource"] for one in now["entry"]}
        assert held == found
        assert writer.number > 10
        for type, id in found:
            client("DELETE", f"{type}/{id}")


def test_deleted_is_what_the_client_had(client: Researcher) -> None:
    client.put(patient("stays"), patient("goes"), patient("changes"), patient("turns", gender="female"))
    first = client.manifest("$export?_type=Patient&_typeFilter=Patient?gender:not=male")
    assert len(client.lines(first)) == 4
    client("DELETE", "Patient/goes")
    client.put(patient("changes", language="en"), patient("turns", gender="male"), patient("brief"))
    client("DELETE", "Patient/brief")
    since = f"&_since={first['transactionTime']}"
    manifest = client.manifest("$export?_type=Patient&_typeFilter=Patient?gender:not=male" + since)
    assert [row["id"] for row in client.lines(manifest)] == ["changes"]
    (bundle,) = client.lines(manifest, "deleted")
    assert bundle["type"] == "transaction"
    assert {entry["request"]["url"] for entry in bundle["entry"]} == {"Patient/goes", "Patient/turns"}
    assert {entry["request"]["method"] for entry in bundle["entry"]} == {"DELETE"}
    nothing = client.manifest(f"$export?_type=Observation{since}")
    assert (nothing["output"], nothing["deleted"]) == ([], [])


def test_many_batches_of_patients_hold_everything_once(client: Researcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Group of more members than one predicate takes, resources that belong to several of them, many files."""
    monkeypatch.setattr("fhir_server.export.asked.BATCH", 7)
    monkeypatch.setattr("fhir_server.export.rows.PAGE", 5)
    monkeypatch.setattr("fhir_server.export.rows.LINES", 5)
    client.app.endpoint.server = replace(client.server, settings=replace(client.server.settings, export_file=8))
    client.put(*(patient(f"p{number}") for number in range(40)), *(observation(f"o{n}", f"p{n}") for n in range(40)))
    both = [{"reference": "Patient/p25"}, {"reference": "Patient/p39"}]  # of the fourth batch, and of nobody in it
    client.put(*(observation(f"b{n}", f"p{n}", performer=both) for n in range(20)))
    client.put(group("g", *(f"p{number}" for number in range(30))))
    found = client.exported("Group/g/$export")
    assert found["Patient"] == {f"p{number}" for number in range(30)}
    assert found["Observation"] == {f"o{n}" for n in range(30)} | {f"b{n}" for n in range(20)}
    assert found.keys() == {"Patient", "Observation"}
