"""What codes and profiles cost: import of a large code system, subsumption over HTTP, `:below`, validation.

    python -m bench.terminology            # SQLite; with --mongo MongoDB too
    python -m bench.terminology --store URL    # added to a filled store

The code system is made up: a tree of eight branches at each concept, a fifth of the concepts with a second parent.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench import machine
from bench.process import ask, fhir_server
from fhir_server.access import OPERATOR
from fhir_server.app import open_server
from fhir_server.fhir import codec
from fhir_server.fhir.data import data_path
from fhir_server.interactions.ask import Ask
from fhir_server.interactions.batch import batch_or_transaction
from fhir_server.interactions.profiles import claims, verdict
from fhir_server.interactions.search import search
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.settings import Settings
from fhir_server.store.seam import Query
from fhir_server.store.terms import Below
from fhir_server.terminology.add import Added, add
from fhir_server.terminology.formats import FORMATS

URL = "urn:bench"
WANTED = 20_000  # descendants of the code that is searched for
CHUNK = 500  # resources in one transaction
TIMES = 7  # searches, of which the median counts


def written(folder: Path, concepts: int) -> Path:
    """A CSV with that many concepts."""
    draw, path = random.Random(7), folder / "terms.csv"
    with path.open("w") as file:
        file.write("code,display,parent,kind\n")
        for n in range(concepts):
            parents = {(n - 1) // 8} if n else set[int]()
            if n and draw.random() < 0.2:
                parents.add(draw.randrange(n))
            above = "|".join(f"C{one}" for one in sorted(parents))
            file.write(f"C{n},Concept {n} of group {n % 97},{above},k{n % 97}\n")
    return path


async def prepared(store: str, path: Path, resources: int, concepts: int) -> tuple[Added, float, str, int, int]:
    """Import and load; what came of it, the seconds of the import, a code with about WANTED below it, how many, and how
    many resources there are."""
    async with open_server(Settings(store=store, auth="open")) as server:
        began = time.perf_counter()
        added = await add(server.store.terms, FORMATS["parents"](path, "1", URL))
        seconds = time.perf_counter() - began
        code, below = await _wide(server, concepts)
        await _load(server, resources, concepts)
        stored = await server.store.count(Query((), EVERYTHING))
        return added, seconds, code, below, stored


async def _wide(server: Server, concepts: int) -> tuple[str, int]:
    (edition,) = await server.store.terms.editions(URL)
    best = ("C0", concepts)
    for n in range(200):
        found = await server.store.terms.count(edition.number, Below(n))
        if abs(found - WANTED) < abs(best[1] - WANTED):
            best = (f"C{n}", found)
    return best


async def _load(server: Server, resources: int, concepts: int) -> None:
    draw = random.Random(8)
    for first in range(0, resources, CHUNK):
        entries = []
        for n in range(first, min(first + CHUNK, resources)):
            code = f"C{int(concepts * draw.random() ** 2)}"
            body = {
                "resourceType": "Condition",
                "id": f"c{n}",
                "subject": {"reference": f"Patient/p{n % 997}"},
                "code": {"coding": [{"system": URL, "code": code}]},
            }
            entries.append({"resource": body, "request": {"method": "PUT", "url": f"Condition/c{n}"}})
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        await batch_or_transaction(server, OPERATOR, Ask(resource=bundle))


async def below(store: str, code: str) -> float:
    """Milliseconds of the first page of `:below`, the median."""
    async with open_server(Settings(store=store, auth="open")) as server:
        asked = Ask(type="Condition", query=(("code:below", f"{URL}|{code}"), ("_count", "20")))
        taken = []
        for _ in range(TIMES):
            began = time.perf_counter()
            await search(server, OPERATOR, asked)
            taken.append((time.perf_counter() - began) * 1000)
        return sorted(taken)[TIMES // 2]


async def validated(store: str) -> dict[str, float]:
    """Microseconds of one structural validation, and of one by a profile with its invariants."""
    folder = data_path("profiles", "participation", "examples")
    patient, variant = (
        codec.decode((folder / f"{name}.json").read_bytes()) for name in ("participant", "genomic-variant")
    )
    async with open_server(Settings(store=store, auth="open")) as server:
        found = {
            "patient": _each(lambda: server.validate(patient)),
            "variant": _each(lambda: server.validate(variant)),
        }
        wanted = claims(variant)
        await verdict(server, variant, wanted)  # compiles
        began = time.perf_counter()
        for _ in range(100):
            await verdict(server, variant, wanted)
        found["profile"] = (time.perf_counter() - began) / 100 * 1e6
        return found


def _each(run: Callable[[], Any], times: int = 2000) -> float:
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        for _ in range(times):
            run()
        best = min(best, (time.perf_counter() - began) / times)
    return best * 1e6


def asked(code: str, concepts: int) -> dict[str, list[str]]:
    """Questions about codes of which, as among records, few are frequent and most are rare."""
    draw = random.Random(9)
    codes = [f"C{int(concepts * draw.random() ** 3)}" for _ in range(20_000)]
    return {
        "$subsumes": [f"system={URL}&codeA={code}&codeB={one}" for one in codes],
        "$validate-code": [f"url={URL}&code={one}" for one in codes],
    }


def rows(name: str, store: str, path: Path, resources: int, concepts: int) -> Iterator[str]:
    """The rows of one store."""
    added, seconds, code, descendants, stored = asyncio.run(prepared(store, path, resources, concepts))
    reach = "<= 30 s of 200,000"
    yield _row(f"import of {added.concepts:,} concepts, {added.pairs:,} pairs, {name}", f"**{seconds:.1f} s**", reach)
    milliseconds = asyncio.run(below(store, code))
    what = f"first page of `:below` with {descendants:,} descendants, {stored:,} resources, {name}"
    yield _row(what, f"**{milliseconds:.0f} ms**", "<= 50 ms SQLite, <= 150 ms MongoDB, of 1 M")
    with fhir_server(store, access_log="false") as running:
        for operation, queries in asked(code, concepts).items():
            urls = path.with_suffix(".urls")
            urls.write_text("\n".join(f"{running.origin}/fhir/CodeSystem/{operation}?{query}" for query in queries))
            ask("GET", f"@{urls}", seconds=8)  # a server that has run for a while
            found = ask("GET", f"@{urls}")
            detail = f"p50 {found['p50_ms']:.1f} ms, p99 {found['p99_ms']:.1f} ms"
            yield _row(
                f"`{operation}`, 16 clients, {name}", f"**{found['per_second']:,.0f}/s**", f">= 3,000/s | {detail}"
            )
    took = asyncio.run(validated(store))
    yield _row(f"structure of a Patient, {name}", f"**{took['patient']:.0f} us**", "<= 100 us")
    yield _row(f"structure of a genomics Observation, {name}", f"**{took['variant']:.0f} us**", "<= 250 us")
    yield _row(
        f"profile of a genomics Observation with invariants, {name}", f"**{took['profile'] / 1000:.1f} ms**", "<= 5 ms"
    )


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Measure and print as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench.terminology", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--concepts", type=int, default=200_000)
    parser.add_argument("--resources", type=int, default=20_000)
    parser.add_argument("--mongo", action="store_true", help="MongoDB too")
    parser.add_argument("--store", help="a filled store, to which the concepts and resources are added; no other then")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fhir-server-bench-") as folder:
        path = written(Path(folder), args.concepts)
        print(f"{machine.describe()}\n\n| what | result | to reach | detail |\n|---|---|---|---|", flush=True)
        if args.store:
            name = "SQLite" if args.store.startswith("sqlite") else "MongoDB"
            for row in rows(name, args.store, path, args.resources, args.concepts):
                print(row, flush=True)
            return
        for row in rows("SQLite", f"sqlite:///{folder}/terms.db", path, args.resources, args.concepts):
            print(row, flush=True)
        if args.mongo:
            from tests import mongod

            server = mongod.start(cache_gb=2)
            try:
                for row in rows("MongoDB", server.uri("terms"), path, args.resources, args.concepts):
                    print(row, flush=True)
            finally:
                server.stop()


if __name__ == "__main__":
    main()
