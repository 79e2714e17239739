"""ViewDefinitions: how fast a table is made of a store. `python -m bench.views --scale 100k`.

The raw limit is reading the same bodies from the database and decoding them with `json.loads`, in one process.
"""

import argparse
import asyncio
import itertools
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import corpus, machine
from bench.run import Figure
from fhir_server.app import open_server
from fhir_server.fhir.codec import decode, encode
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.settings import from_environ
from fhir_server.store.seam import Change, Query, Tx
from fhir_server.views.table import of_store, table

SCALES = {"20k": 20_000, "100k": 100_000, "1M": 1_000_000}
PIECE = 1000  # resources written in one transaction
VIEW = {
    "resourceType": "ViewDefinition",
    "name": "observations",
    "resource": "Observation",
    "select": [
        {
            "column": [
                {"name": "id", "path": "getResourceKey()", "type": "string"},
                {"name": "patient", "path": "subject.getReferenceKey(Patient)", "type": "string"},
                {"name": "status", "path": "status", "type": "code"},
                {"name": "code", "path": "code.coding.where(system = 'http://loinc.org').first().code", "type": "code"},
                {"name": "shown", "path": "code.text", "type": "string"},
                {"name": "time", "path": "effective.ofType(dateTime)", "type": "dateTime"},
                {"name": "number", "path": "value.ofType(Quantity).value", "type": "decimal"},
                {"name": "unit", "path": "value.ofType(Quantity).unit", "type": "string"},
                {"name": "coded", "path": "value.ofType(CodeableConcept).coding.first().code", "type": "code"},
            ]
        }
    ],
}
BY_COMPONENT = {
    **VIEW,
    "select": [
        *VIEW["select"],
        {
            "forEachOrNull": "component",
            "column": [
                {"name": "part", "path": "code.coding.first().code", "type": "code"},
                {"name": "part_number", "path": "value.ofType(Quantity).value", "type": "decimal"},
            ],
        },
    ],
}


def observations() -> Iterator[dict[str, Any]]:
    """The corpus's Observations, without end."""
    for text, _ in corpus.bundles():
        for entry in decode(text)["entry"]:
            if entry["resource"]["resourceType"] == "Observation":
                yield entry["resource"]


async def filled(server: Server, count: int) -> None:
    """Observations without index entries: a view reads the resources of a type in order and asks for nothing else."""
    source = observations()
    for start in range(0, count, PIECE):
        some = list(itertools.islice(source, min(PIECE, count - start)))
        now = server.clock()
        made = [
            Change("Observation", id := server.new_id(), 1, now, "PUT", encode({**one, "id": id}), ()) for one in some
        ]

        async def work(tx: Tx, made: list[Change] = made) -> None:
            for change in made:
                await tx.write(change._replace(updated=max(change.updated, tx.began)))

        await server.store.transact(work)


async def measured(url: str, kind: str, count: int, processes: int) -> list[Figure]:
    """Both views to Parquet, the better of two runs each."""
    figures = []
    async with open_server(replace(from_environ(), store=url)) as server:
        if not await server.store.count(Query(("Observation",), EVERYTHING)):
            await filled(server, count)
        base = server.settings.base
        raw = _raw(url) if url.startswith("sqlite") else ""
        for name, view in (("a row for each", VIEW), ("a row for each component", BY_COMPONENT)):
            best, size, rows = 0.0, 0, 0
            for _ in range(2):
                with tempfile.TemporaryFile() as file:
                    began = time.perf_counter()
                    written = await table(view, base, of_store(server.store), "parquet", file, processes)
                    best = max(best, written.rows / (time.perf_counter() - began))
                    size, rows = file.tell(), written.rows
            what = f"view over {count:,} Observations, {name}, to Parquet, {kind}"
            told = f"{rows:,} rows, {size / 1e6:.1f} MB, {processes} + 1 processes"
            figures.append(Figure(what, f"**{best:,.0f} rows/s**", ">= 50,000 rows/s", f"{told}{raw}"))
    return figures


def _raw(url: str) -> str:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    began, count = time.perf_counter(), 0
    sql = "SELECT v.body FROM resource r JOIN version v ON v.seq=r.seq WHERE r.deleted=0 ORDER BY r.type, r.rid"
    for (body,) in connection.execute(sql):
        json.loads(body)
        count += 1
    connection.close()
    return f"; SQLite and json.loads only, 1 process: {count / (time.perf_counter() - began):,.0f}/s"


def main() -> None:
    """Measure and print as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench.views", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", choices=SCALES, default="100k", help="Observations in the store (default: 100k)")
    parser.add_argument("--mongo", action="store_true", help="MongoDB as well (tests/mongod.py)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 2, help="that evaluate")
    parser.add_argument("--store", help="a store to keep, empty or filled by this; nothing else is measured then")
    args = parser.parse_args()
    print(f"{machine.describe()}\n\n| what | result | to reach | raw limit or detail |\n|---|---|---|---|", flush=True)
    count = SCALES[args.scale]
    if args.store:
        kind = "SQLite" if args.store.startswith("sqlite") else "MongoDB"
        return _print(asyncio.run(measured(args.store, kind, count, args.processes)))
    with tempfile.TemporaryDirectory(prefix="fhir-server-bench-") as name:
        _print(asyncio.run(measured(f"sqlite:///{Path(name) / 'views.db'}", "SQLite", count, args.processes)))
    if args.mongo:
        from tests import mongod

        server = mongod.start(cache_gb=2)
        try:
            _print(asyncio.run(measured(server.uri("views"), "MongoDB", count, args.processes)))
        finally:
            server.stop()


def _print(figures: list[Figure]) -> None:
    for figure in figures:
        print("| " + " | ".join(figure) + " |", flush=True)


if __name__ == "__main__":
    main()
