"""What is read at a time of a walk through all resources fits in memory, however large each of them is."""

from typing import Any

import pytest

from fhir_server.export import perform
from fhir_server.rest import endpoint
from fhir_server.store import pace
from fhir_server.store.seam import Lines, Query
from fhir_server.views.table import of_store
from tests.export.conftest import Researcher, observation

BYTES = 50_000
NUMBER = 60


@pytest.fixture
def pages(client: Researcher, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The number and bytes of what each page held that was read of a store."""
    monkeypatch.setattr(pace, "BYTES", BYTES)
    kind: Any = client.server.store.__class__
    lines, search, found = kind.lines, kind.search, list[tuple[int, int]]()

    async def lined(self: Any, query: Query, at: int | None = None) -> Any:
        page: Lines = await lines(self, query, at)
        found.append((len(page.ids), len(page.text)))
        return page

    async def searched(self: Any, query: Query) -> Any:
        page = await search(self, query)
        if query.types == ("Observation",):
            found.append((len(page.rows), sum(len(row.body) for row in page.rows)))
        return page

    monkeypatch.setattr(kind, "lines", lined)
    monkeypatch.setattr(kind, "search", searched)
    return found


def fill(client: Researcher, size: int) -> None:
    """As many Observations with texts so long."""
    client.put(*(observation(f"o{number}", "p1", code={"text": "x" * size}) for number in range(NUMBER)))


@pytest.mark.parametrize("path", ["$export?_type=Observation", "$export?_type=Observation&organizeOutputBy=Patient"])
def test_an_export_reads_large_resources_in_small_pages(
    client: Researcher, pages: list[tuple[int, int]], path: str
) -> None:
    fill(client, 10_000)
    assert sum(item["count"] for item in client.manifest(path)["output"]) == NUMBER
    assert sum(number for number, _ in pages) == NUMBER
    assert max(size for _, size in pages) <= BYTES
    pages.clear()
    fill(client, 10)
    client.manifest(path)
    assert max(number for number, _ in pages) == NUMBER - pace.FIRST


@pytest.mark.parametrize(("lately", "most"), [(60.0, 7), (0.0, NUMBER - pace.FIRST)])
def test_an_export_reads_few_at_a_time_while_requests_come(
    client: Researcher, pages: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, lately: float, most: int
) -> None:
    monkeypatch.setattr(perform, "FEW", 7)
    monkeypatch.setattr(endpoint, "LATELY", lately)
    fill(client, 10)
    client.manifest("$export?_type=Observation")
    assert max(number for number, _ in pages) == most


def test_a_view_reads_large_resources_in_small_pages(client: Researcher, pages: list[tuple[int, int]]) -> None:
    fill(client, 10_000)

    async def walked() -> int:
        _, pieces = await of_store(client.server.store)("Observation")
        return sum([count async for count, _ in pieces])

    assert client.run(walked()) == NUMBER
    assert max(size for _, size in pages) <= BYTES
    pages.clear()
    fill(client, 10)
    assert client.run(walked()) == NUMBER
    assert max(number for number, _ in pages) == NUMBER - pace.FIRST
