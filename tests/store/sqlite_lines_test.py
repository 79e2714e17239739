"""Pages of lines that are bounded by bytes too. https://www.sqlite.org/c3ref/limit.html"""

from pathlib import Path

import pytest

from fhir_server.search.predicate import EVERYTHING
from fhir_server.store.seam import Change, Lines, Query, Tx
from fhir_server.store.sqlite import find, open_sqlite


async def test_lines_of_large_bodies_come_in_shorter_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer than were asked for, down to one, however large that is."""
    monkeypatch.setattr(find, "TEXT", 10_000)
    store = await open_sqlite(f"sqlite:///{tmp_path / 'fhir.db'}")
    sizes = {"a": 10, "b": 10, "c": 6_000, "d": 6_000, "e": 20_000, "f": 10}
    bodies = {id: b'{"id":"%s"}' % (id.encode() * size) for id, size in sizes.items()}

    async def write(tx: Tx) -> None:
        for id, body in bodies.items():
            await tx.write(Change("Observation", id, 1, 1000, "PUT", body, ()))

    await store.transact(write)
    query, pages = Query(("Observation",), EVERYTHING, count=4), list[Lines]()
    while not pages or pages[-1].next is not None:
        pages.append(await store.lines(query))
        query = query._replace(after=pages[-1].next)
    assert [page.ids for page in pages] == [["a", "b"], ["c"], ["d"], ["e"], ["f"]]
    assert [line for page in pages for line in page.text.split(b"\n")] == list(bodies.values())
    assert (await store.search(query._replace(after=None, count=9))).next is None  # read without that limit
    await store.close()
