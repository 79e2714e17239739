"""Thirty kinds of search, simple to compound, over a store that is filled already; what each costs and how it is run.

    python -m bench.mix --store sqlite:///data/big.db

Values are drawn from the store itself (patients, codes, names), seeded, so that caches see many different requests.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median
from typing import Any
from urllib.parse import quote, unquote

from bench.process import Running, ask, fhir_server
from fhir_server.app import open_server
from fhir_server.fhir.codec import decode
from fhir_server.search.parse import parse_search
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.settings import from_environ
from fhir_server.store.seam import Query

SAMPLES = 40  # different requests of each kind
MIX = (
    "Patient?_id={patient}",
    "Patient?family={family}&_count=20",
    "Patient?name={family}&gender=female",
    "Patient?birthdate=ge1960-01-01&birthdate=lt1961-01-01&_count=20",
    "Patient?identifier={identifier}",
    "Patient?address-city={city}&_sort=birthdate&_count=20",
    "Patient?family={family}&birthdate=gt1950",
    "Observation?patient={patient}&_count=50",
    "Observation?patient={patient}&code={code}&_sort=-date&_count=20",
    "Observation?patient={patient}&category=vital-signs&_sort=-date&_count=20",
    "Observation?patient={patient}&date=ge2015-01-01&_count=20",
    "Observation?code=8302-2&value-quantity=gt180&_count=20",
    "Observation?code=29463-7&date=ge2018-01-01&_count=20",
    "Observation?component-code-value-quantity=8480-6$gt140&_count=20",
    "Observation?code-value-quantity=8302-2$gt180&_count=20",
    "Observation?patient.family={family}&code=8302-2&_count=20",
    "Observation?patient={patient}&code={code},8302-2,29463-7&_count=20",
    "Observation?encounter={encounter}",
    "Condition?patient={patient}",
    "Condition?code={condition}&_count=20",
    "Condition?patient={patient}&clinical-status=active&_include=Condition:patient",
    "Condition?code={condition}&onset-date=ge2010-01-01&_count=20",
    "Encounter?patient={patient}&_sort=-date&_count=20",
    "Encounter?patient={patient}&date=ge2010-01-01&_include=Encounter:service-provider",
    "MedicationRequest?patient={patient}&status=active",
    "MedicationRequest?patient={patient}&intent=order&_include=MedicationRequest:requester",
    "Procedure?patient={patient}&date=ge2010-01-01",
    "Patient?_has:Condition:patient:code={condition}&_count=20",
    "Patient?_has:Observation:patient:code=8302-2&family={family}&_count=20",
    "Patient?_id={patient}&_revinclude=Condition:patient",
)  # fmt: skip
SINGLE = (
    ("code + date on a common code, count", "Observation?code=8302-2&date=ge2015-01-01&_summary=count"),
    ("code + quantity on a common code, count", "Observation?code=8302-2&value-quantity=gt170&_summary=count"),
    ("chain `Observation?patient.name=..&code=..`", "Observation?patient.name={family}&code=8302-2&_count=20"),
    ("`_has` with date", "Patient?_has:Observation:patient:date=ge2018-01-01&family={family}&_count=20"),
)


async def values(server: Server, random: Random) -> dict[str, list[str]]:
    """What the templates are filled with, from resources all over the store."""
    patients = await _sample(server, "Patient", random)
    observations = await _sample(server, "Observation", random)
    conditions = await _sample(server, "Condition", random)
    return {
        "patient": [one["id"] for one in patients],
        "family": [one["name"][0]["family"] for one in patients],
        "identifier": [one["identifier"][0]["value"] for one in patients],
        "city": [one["address"][0]["city"] for one in patients],
        "code": [one["code"]["coding"][0]["code"] for one in observations],
        "encounter": [one["encounter"]["reference"] for one in observations if "encounter" in one],
        "condition": [one["code"]["coding"][0]["code"] for one in conditions],
    }


async def _sample(server: Server, type: str, random: Random) -> list[dict[str, Any]]:
    total = await server.store.count(Query((type,), EVERYTHING))
    first = (await server.store.search(Query((type,), EVERYTHING, count=1000))).rows
    found, after = list(first), None
    for _ in range(min(20, total // 1000)):
        page = await server.store.search(Query((type,), EVERYTHING, count=1000, after=after))
        found, after = found + page.rows, page.next
        if after is None:
            break
    return [decode(row.body) for row in random.sample(found, min(400, len(found)))]


def filled(template: str, given: dict[str, list[str]], random: Random) -> str:
    """One request of a kind."""
    return template.format(**{name: quote(random.choice(some), safe="/") for name, some in given.items()}).replace(
        "$", "%24"
    )


def measured(running: Running, requests: Iterable[str], clients: int, seconds: float) -> dict[str, Any]:
    """What `clients` connections see that ask for `requests` in turn."""
    with tempfile.NamedTemporaryFile("w", suffix=".urls") as file:
        Path(file.name).write_text("\n".join(f"{running.origin}/fhir/{one}" for one in requests))
        return ask("GET", f"@{file.name}", clients=clients, seconds=seconds)


async def scans(server: Server, template: str, request: str) -> list[str]:
    """The steps of the store's plan that read a whole collection or sort in memory."""
    type_, _, query = unquote(request).partition("?")
    pairs = [(name, value) for name, _, value in (pair.partition("=") for pair in query.split("&"))]
    search = parse_search(server.definitions, type_, pairs, False, server.clock(), server.settings.base)
    plan = str(await server.store.explain(Query((type_,), search.where, search.sort, count=search.count or 20)))
    return [word for word in ("TEMP B-TREE", "SCAN r", "'COLLSCAN'", "'SORT'") if word in plan]


async def everything(running: Running, given: dict[str, list[str]], random: Random) -> dict[str, Any]:
    """`Patient/$everything`, all on one page, one client."""
    requests = [f"Patient/{random.choice(given['patient'])}/%24everything?_count=5000" for _ in range(SAMPLES)]
    return await asyncio.to_thread(measured, running, requests, 1, 5)


async def run(store: str) -> None:
    """Measure and print as Markdown."""
    random = Random(1)
    async with open_server(replace(from_environ(), store=store)) as server:
        given = await values(server, random)
        slow = {}
        for template in MIX:
            if bad := await scans(server, template, filled(template, given, random)):
                slow[template] = bad
    with fhir_server(store, access_log="false") as running:
        mix = [filled(template, given, random) for _ in range(SAMPLES) for template in MIX]
        random.shuffle(mix)
        print("| what | result |\n|---|---|", flush=True)
        each = {}
        for template in MIX:
            found = measured(running, [filled(template, given, random) for _ in range(SAMPLES)], 1, 1)
            each[template] = found
            print(f"| `{template}` | p50 {found['p50_ms']:.1f} ms, p99 {found['p99_ms']:.1f} ms |", flush=True)
        for clients in (4, 16):
            found = measured(running, mix, clients, 15)
            print(
                f"| the mix, {clients} clients | **p50 {found['p50_ms']:.1f} ms**, p99 {found['p99_ms']:.1f} ms, "
                f"{found['per_second']:,.0f}/s, {found['failed']} failed |", flush=True,
            )  # fmt: skip
        for what, template in SINGLE:
            found = measured(running, [filled(template, given, random) for _ in range(SAMPLES)], 1, 4)
            print(f"| {what} | **p50 {found['p50_ms']:.1f} ms**, p99 {found['p99_ms']:.1f} ms |", flush=True)
        found = measured(running, ["Observation?_count=1000"], 1, 4)
        print(f"| searchset of 1,000 resources | **{found['per_second'] * 1000:,.0f} resources/s** |", flush=True)
        found = await everything(running, given, random)
        print(f"| `Patient/$everything` | **{found['per_second']:.0f}/s**, p50 {found['p50_ms']:.1f} ms |")
        print(f"| median of the p50 of each kind | {median(one['p50_ms'] for one in each.values()):.1f} ms |")
        print(f"| kinds with a scan or a sort in memory | {len(slow)}: {slow or 'none'} |")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m bench.mix", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", required=True, help="a store that `make bench` or `fhir-server load` has filled")
    asyncio.run(run(parser.parse_args().store))


if __name__ == "__main__":
    main()
