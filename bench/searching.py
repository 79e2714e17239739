"""The dashboard's question: the latest results of one kind for one patient."""

import tempfile
from pathlib import Path
from typing import Any

from bench.process import ask, fhir_server
from fhir_server.fhir.codec import decode
from fhir_server.search.parse import parse_search
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.store.seam import Query

SAMPLE = 300  # patients asked about in turn


async def questions(server: Server) -> list[list[tuple[str, str]]]:
    """Searches for patients from all over the store, each with a code that the patient has."""
    total = await server.store.count(Query(("Patient",), EVERYTHING))
    step, after, number, found = max(1, total // SAMPLE), None, 0, []
    while True:
        page = await server.store.search(Query(("Patient",), EVERYTHING, count=1000, after=after))
        for row in page.rows:
            number += 1
            if number % step == 0 and (code := await _code(server, row.id)):
                found.append([("patient", row.id), ("code", code), ("_sort", "-date"), ("_count", "20")])
        after = page.next
        if after is None:
            return found


async def _code(server: Server, patient: str) -> str:
    rows = (await server.store.search(_query(server, [("patient", patient), ("_count", "1")]))).rows
    coding = decode(rows[0].body)["code"].get("coding", [{}])[0] if rows else {}
    return f"{coding.get('system', '')}|{coding['code']}" if "code" in coding else ""


async def explained(server: Server, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """How the store runs one of the questions."""
    return await server.store.explain(_query(server, pairs))


def asked_over_http(store: str, searches: list[list[tuple[str, str]]]) -> dict[str, Any]:
    """What one client at a time measures, over HTTP, without the access log."""
    with fhir_server(store, access_log="false") as running, tempfile.NamedTemporaryFile("w", suffix=".urls") as file:
        lines = ("&".join(f"{name}={value.replace('|', '%7C')}" for name, value in pairs) for pairs in searches)
        Path(file.name).write_text("\n".join(f"{running.origin}/fhir/Observation?{line}" for line in lines))
        return ask("GET", f"@{file.name}", clients=1, seconds=6)


def _query(server: Server, pairs: list[tuple[str, str]]) -> Query:
    search = parse_search(server.definitions, "Observation", pairs, False, server.clock(), server.settings.base)
    return Query(("Observation",), search.where, search.sort, count=search.count or 20)
