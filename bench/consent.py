"""What consent costs: searches with and without it, a decision anew, a Consent that changes all of a patient's rules.

python -m bench.consent --store URL

The store must be filled (`make bench`, `fhir-server load`); one Consent of one patient is written to it.
"""

import argparse
import asyncio
import statistics
import time
from typing import Any

from bench import machine
from fhir_server.access import OPERATOR, transact
from fhir_server.access.consent import Request, permits
from fhir_server.access.rules import Allowed
from fhir_server.app import open_server
from fhir_server.fhir import codec
from fhir_server.interactions.draft import change, draft
from fhir_server.search.parse import parse_search
from fhir_server.search.predicate import EVERYTHING, And, Predicate
from fhir_server.server import Server
from fhir_server.settings import Settings
from fhir_server.store.seam import Query, Tx

ROUNDS = 300
SEARCHES = (
    ("Observation", "code=8302-2&_sort=-date"),
    ("Observation", "code=8302-2&date=ge2015-01-01"),
    ("Observation", "patient={patient}&_sort=-date"),
    ("Condition", "clinical-status=active"),
    ("Patient", "gender=female"),
)
DATA_CLASS = "https://participation.example/fhir/CodeSystem/data-class"
SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"


def consent(patient: str, number: int) -> dict[str, Any]:
    """A permit for research, in turn broad and with an exception."""
    deny = {"type": "deny", "securityLabel": [{"system": DATA_CLASS, "code": "genomic"}]}
    return {
        "resourceType": "Consent",
        "id": "bench",
        "status": "active",
        "scope": {"coding": [{"system": SCOPE, "code": "research"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{patient}"},
        "dateTime": "2025-01-01",
        "policy": [{"uri": "https://example.org/bench"}],
        "provision": {"type": "permit", **({"provision": [deny]} if number % 2 else {})},
    }


async def compared(server: Server, query: Query, allowed: Allowed) -> tuple[float, float]:
    """Median milliseconds of a search without and with consent, in turn."""
    taken: dict[bool, list[float]] = {False: [], True: []}
    for number in range(ROUNDS):
        for held in ((False, True), (True, False))[number % 2]:
            where: Predicate = And((query.where, allowed.at(server.clock()))) if held else query.where
            began = time.perf_counter()
            await server.store.search(query._replace(where=where))
            taken[held].append((time.perf_counter() - began) * 1000)
    return statistics.median(taken[False]), statistics.median(taken[True])


async def scanned(server: Server, where: Predicate) -> float:
    """Resources a second of a scan of all Observations that `where` leaves."""
    began, count = time.perf_counter(), 0
    async for _ in server.store.scan(Query(("Observation",), where)):
        count += 1
    return count / (time.perf_counter() - began)


async def rewritten(server: Server, patient: str) -> float:
    """Median milliseconds of writing a Consent that changes every rule of a patient."""
    taken = []
    for number in range(12):
        before = await server.store.read("Consent", "bench", EVERYTHING)
        version, made = before.version + 1 if before else 1, draft(server, consent(patient, number), "bench")

        async def work(tx: Tx) -> None:
            await tx.write(change(made, "bench", version, server.clock(), "PUT"))  # noqa: B023  # awaited here

        began = time.perf_counter()
        await transact(server, OPERATOR, work)
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


async def largest(server: Server) -> tuple[str, int]:
    """The patient, of the first 300, with the most Observations, and how many those are."""
    found = ("", 0)
    for row in (await server.store.search(Query(("Patient",), EVERYTHING, count=300))).rows:
        where = parse_search(server.definitions, "Observation", (("patient", row.id),), False, 0, "").where
        found = max(found, (row.id, await server.store.count(Query(("Observation",), where))), key=lambda one: one[1])
    return found


async def measure(url: str) -> None:
    """Print a Markdown table."""
    async with open_server(Settings(store=url)) as server:
        patient, many = await largest(server)
        await rewritten(server, patient)  # so that there is more than one rule
        allowed = server.consents.rules.allowed(Request("TREAT"))
        print(machine.describe(), "\n\n| what | result | to reach |\n|---|---|---|")
        for type, text in SEARCHES:
            pairs = tuple(tuple(one.split("=", 1)) for one in text.format(patient=patient).split("&"))
            asked = parse_search(server.definitions, type, pairs, False, server.clock(), "")  # type: ignore[arg-type]
            without, held = await compared(server, Query((type,), asked.where, asked.sort, 20), allowed)
            print(f"| `{type}?{text}` | **{held / without:.2f}**: {held:.2f} ms against {without:.2f} ms | <= 1.10 |")
        plain, held = await scanned(server, EVERYTHING), await scanned(server, allowed.at(server.clock()))
        print(f"| scan of all Observations | **{held / plain:.2f}**: {held:,.0f}/s against {plain:,.0f}/s | >= 0.91 |")
        row = await server.store.read("Patient", patient, EVERYTHING)
        assert row is not None
        body, began = codec.decode(row.body), time.perf_counter()
        for number in range(1000):
            permits([consent(patient, number)], body, Request("HRESCH"), server.clock(), 18)
        print(f"| a patient's decision anew | **{time.perf_counter() - began:.3f} ms** | <= 5 ms |")
        print(f"| a Consent and the rules of {many:,} Observations | **{await rewritten(server, patient):.0f} ms** | |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, help="a store that `make bench` or `fhir-server load` has filled")
    asyncio.run(measure(parser.parse_args().store))
