"""What a search by gene and change of protein costs among many variant Observations.

    python -m bench.variants                     # 100,000 on SQLite; with --mongo MongoDB too
    python -m bench.variants --scale 1000000

Made up: 500 genes, of each 200 changes, frequent ones a thousand times as frequent as rare ones, each of one patient.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import machine
from fhir_server.access import OPERATOR
from fhir_server.app import open_server
from fhir_server.export.bring import bring
from fhir_server.fhir import codec
from fhir_server.fhir.data import data_path
from fhir_server.interactions.ask import Ask
from fhir_server.interactions.custom import rewired
from fhir_server.interactions.search import search
from fhir_server.interactions.update import update
from fhir_server.operations.reindex import reindexed
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.settings import Settings
from fhir_server.store.seam import Query

TIMES = 400  # searches
GENES, CHANGES = 500, 200
PARAMETERS = ("observation-gene", "observation-protein-change", "observation-gene-protein-change")


def variant(draw: random.Random, number: int) -> dict[str, Any]:
    """One Observation."""
    gene, change = drawn(draw)
    body: dict[str, Any] = codec.decode(
        data_path("profiles", "participation", "examples", "genomic-variant.json").read_bytes()
    )
    named = (("48018-6", "http://www.genenames.org", gene), ("48005-3", "http://varnomen.hgvs.org", change))
    components = [
        {
            "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
            "valueCodeableConcept": {"coding": [{"system": system, "code": value}]},
        }
        for code, system, value in named
    ]
    id = f"v{number}"
    return {**body, "id": id, "subject": {"reference": f"Patient/p{number % 9973}"}, "component": components}


def drawn(draw: random.Random) -> tuple[str, str]:
    """A gene and a change of its protein, of which few are frequent."""
    gene, change = int(GENES * draw.random() ** 3), int(CHANGES * draw.random() ** 3)
    return f"HGNC:{1000 + gene}", f"NP_{gene:06}.1:p.Leu{change + 1}Arg"


async def prepared(server: Server, scale: int) -> Server:
    """The server with its parameters announced and that many variants, unless it has some."""
    if await server.store.count(Query(("Observation",), EVERYTHING)):
        return await rewired(server)
    for name in PARAMETERS:
        path = data_path("profiles", "participation", f"SearchParameter-{name}.json")
        await update(server, OPERATOR, Ask(type="SearchParameter", id=name, resource=codec.decode(path.read_bytes())))
    await reindexed(server, OPERATOR, ("Observation",))
    server = await rewired(server)
    draw = random.Random(8)
    with tempfile.TemporaryDirectory(prefix="fhir-server-bench-") as folder:
        path = Path(folder) / "variants.ndjson"
        with path.open("wb") as file:
            file.writelines(codec.encode(variant(draw, number)) + b"\n" for number in range(scale))
        await bring(server, [path], 1, False, lambda progress: None, lambda refusal: None)
    return server


async def measured(store: str, scale: int) -> tuple[list[float], float]:
    """Milliseconds of each search, in order, and how many variants were on a page on average."""
    async with open_server(replace(Settings(store=store, auth="open"), match=False)) as opened:
        server = await prepared(opened, scale)
        draw, taken, found = random.Random(9), [], 0
        for _ in range(TIMES):
            gene, change = drawn(draw)
            asked = Ask(type="Observation", query=(("gene-protein-change", f"{gene}${change}"), ("_count", "20")))
            began = time.perf_counter()
            answer = await search(server, OPERATOR, asked)
            taken.append((time.perf_counter() - began) * 1000)
            found += answer.body.count(b'"fullUrl"')
        return sorted(taken), found / TIMES


def rows(name: str, store: str, scale: int) -> Iterator[str]:
    """The row of one store."""
    taken, found = asyncio.run(measured(store, scale))
    p50, p95 = taken[len(taken) // 2], taken[int(len(taken) * 0.95)]
    what = f"gene and protein change among {scale:,} variants, {name}"
    yield f"| {what} | **p95 {p95:.1f} ms** | <= 20 ms over a million | p50 {p50:.1f} ms, {found:.1f} on a page |"


def main() -> None:
    """Measure and print as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench.variants", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=int, default=100_000)
    parser.add_argument("--mongo", action="store_true", help="MongoDB too")
    parser.add_argument("--store", help="a store to keep, empty or filled by this; nothing else is measured then")
    args = parser.parse_args()
    if args.store:
        for row in rows("SQLite" if args.store.startswith("sqlite") else "MongoDB", args.store, args.scale):
            print(row, flush=True)
        return
    with tempfile.TemporaryDirectory(prefix="fhir-server-bench-") as folder:
        print(f"{machine.describe()}\n\n| what | result | to reach | detail |\n|---|---|---|---|", flush=True)
        for row in rows("SQLite", f"sqlite:///{folder}/variants.db", args.scale):
            print(row, flush=True)
        if args.mongo:
            from tests import mongod

            server = mongod.start(cache_gb=2)
            try:
                for row in rows("MongoDB", server.uri("variants"), args.scale):
                    print(row, flush=True)
            finally:
                server.stop()


if __name__ == "__main__":
    main()
