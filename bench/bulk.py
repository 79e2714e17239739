"""Bulk Data: how fast an export is written, and what it costs others. `python -m bench.bulk --scale 20k`.

The raw limit of an export is reading all bodies from the database and writing them to a file, without this server.
"""

import argparse
import asyncio
import json
import sqlite3
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from bench import corpus, machine
from bench.process import Running, ask, fhir_server, resident_mb
from bench.run import Figure
from fhir_server.access import OPERATOR, Caller
from fhir_server.access.rules import DEFAULT_NUMBER
from fhir_server.app import open_server
from fhir_server.export.bring import bring
from fhir_server.export.files import folder_of
from fhir_server.export.job import EXPORTS, Export
from fhir_server.export.perform import Writing
from fhir_server.export.wish import Wish
from fhir_server.interactions.lease import Lease
from fhir_server.search.predicate import EVERYTHING, RULE, UNTIL, And, Is, Predicate
from fhir_server.server import Server
from fhir_server.settings import from_environ
from fhir_server.store.seam import Query

TURNS = 5
SCALES = {"20k": 20_000, "200k": 200_000, "1M": 1_000_000}


async def exports(url: str, kind: str, reach: str) -> list[Figure]:
    """All of a store, without a filter and with a condition on the patient of each resource."""
    folder = tempfile.mkdtemp(prefix="fhir-server-bench-")
    async with open_server(replace(from_environ(), store=url, export_folder=folder)) as server:
        total = await server.store.count(Query((), EVERYTHING))
        plain = max([await _rate(server, OPERATOR, total) for _ in range(3)])
        caller = _consented(server)
        filtered = max([await _rate(server, caller, None) for _ in range(3)])
    return [
        Figure(f"export, {total:,} resources, {kind}", f"**{plain:,.0f}/s**", reach, _raw(url)),
        Figure(
            f"the same with a filter of consent, {kind}", f"**{filtered / plain:.2f}** of that: {filtered:,.0f}/s",
            ">= 0.8", "eleven rules, a time",
        ),
    ]  # fmt: skip


def _consented(server: Server) -> Caller:
    """Someone who sees what certain rules of consent permit, as access/asking.py asks for it."""
    rules = Is(RULE, (("rule", "in", ((DEFAULT_NUMBER,), *((number,) for number in range(1000, 1010)))),))
    where = And((rules, Is(UNTIL, (("until", ">", server.clock()),))))

    def permits(type: str, letter: str) -> Predicate:
        return where if type in server.definitions.compartments["Patient"] else EVERYTHING

    return Caller("consented", permits, "consented", types=tuple(server.definitions.resources))


async def _rate(server: Server, caller: Caller, total: int | None) -> float:
    """Resources a second of one export, from its beginning to its last file on the disk."""
    id = server.new_id()
    types = tuple(type for type in sorted(server.definitions.resources) if caller.may(type, "r"))
    job = Export(OPERATOR.id, "", Wish("system", types), 0, server.clock() + 10**12)
    lease = Lease(server, EXPORTS.key(id), job, 0)

    async def alone() -> None: ...

    began = time.perf_counter()
    await Writing(server, caller, lease, job, id, alone).perform()
    elapsed = time.perf_counter() - began
    count = sum(file.count for file in job.files)
    if total is not None and count != total:
        raise RuntimeError(f"{count} of {total} resources were exported")
    await server.store.delete_state(EXPORTS.key(id))
    for path in folder_of(server, id).glob("*"):
        path.unlink()
    return count / elapsed


def _raw(url: str) -> str:
    """Bodies from SQLite to a file, in order, and nothing else."""
    if not url.startswith("sqlite"):
        return ""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    began, count = time.perf_counter(), 0
    with tempfile.TemporaryFile() as file:
        sql = "SELECT v.body FROM resource r JOIN version v ON v.seq=r.seq WHERE r.deleted=0 ORDER BY r.type, r.rid"
        for (body,) in connection.execute(sql):
            file.write(body + b"\n")
            count += 1
    connection.close()
    return f"SQLite to a file: {count / (time.perf_counter() - began):,.0f}/s"


async def imports(url: str, kind: str, resources: int, reach: str) -> list[Figure]:
    """NDJSON into an empty store, one process preparing and one writing; starting the process counts."""
    with tempfile.TemporaryDirectory(prefix="fhir-server-bench-") as name:
        path = Path(name) / "in.ndjson"
        with path.open("wb") as file:
            file.writelines(islice(corpus.resources(), resources))
        async with open_server(replace(from_environ(), store=url)) as server:
            progress = await bring(server, [path], 1, False, lambda progress: None, lambda refusal: None)
    detail = f"{progress.stored:,} resources, {progress.refused:,} refused"
    return [Figure(f"import of NDJSON, {kind}", f"**{progress.rate:,.0f}/s**", reach, detail)]


def others(url: str, kind: str) -> list[Figure]:
    """Reads by id of 4 clients alone, and while exports run one after the other, in turns; memory at its highest."""
    folder = tempfile.mkdtemp(prefix="fhir-server-bench-")
    with fhir_server(url, access_log="false", export_folder=folder, export_open="1000") as server:
        read = f"{server.origin}/fhir/{_some_patient(server)}"
        alone, busy, highest = [], [], 0.0
        for _ in range(TURNS):
            alone.append(ask("GET", read, clients=4, seconds=3))
            with _exporting(server) as seen:
                busy.append(ask("GET", read, clients=4, seconds=3))
            highest = max(highest, *seen)
    p95, p95_alone = (median(one["p95_ms"] for one in some) for some in (busy, alone))
    worse = p95 / p95_alone - 1
    rate, rate_alone = (median(one["per_second"] for one in some) for some in (busy, alone))
    return [
        Figure(
            f"reads by 4 clients while exporting, {kind}", f"p95 **{worse:+.0%}**: {p95:.1f} ms", "<= +25 %",
            f"alone {p95_alone:.1f} ms; {rate:,.0f}/s against {rate_alone:,.0f}/s",
        ),
        Figure(f"memory of a server that exports, {kind}", f"**{highest:.0f} MB**", "<= 256 MB", ""),
    ]  # fmt: skip


def _some_patient(server: Running) -> str:
    found = _get(f"{server.origin}/fhir/Patient?_count=1")
    return f"Patient/{found['entry'][0]['resource']['id']}"


def _get(url: str, **headers: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
        return json.loads(answer.read() or b"{}")


@contextmanager
def _exporting(server: Running) -> Iterator[list[float]]:
    """Exports one after the other until the end; the highest memory is noted."""
    highest, stopped = [0.0], threading.Event()

    def run() -> None:
        while not stopped.is_set():
            headers = {"Prefer": "respond-async", "Accept": "application/fhir+json"}
            asked = urllib.request.Request(f"{server.origin}/fhir/$export", headers=headers)
            with urllib.request.urlopen(asked, timeout=60) as answer:
                address = answer.headers["Content-Location"]
            while not stopped.is_set():
                highest[0] = max(highest[0], resident_mb(server.pid))
                with urllib.request.urlopen(address, timeout=60) as answer:
                    if answer.status == 200:
                        break
                stopped.wait(0.4)
            with urllib.request.urlopen(urllib.request.Request(address, method="DELETE"), timeout=60):
                pass

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        time.sleep(1)
        try:
            yield highest
        finally:
            stopped.set()
        running.result()  # raises what went wrong


def main() -> None:
    """Measure and print as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench.bulk", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", choices=SCALES, default="20k", help="resources to import (default: 20k)")
    parser.add_argument("--mongo", action="store_true", help="MongoDB as well (tests/mongod.py)")
    parser.add_argument("--store", help="a store to keep, empty or filled; nothing else is measured then")
    args = parser.parse_args()
    resources = SCALES[args.scale]
    print(f"{machine.describe()}\n\n| what | result | to reach | raw limit or detail |\n|---|---|---|---|", flush=True)
    if args.store:
        return _measure(args.store, resources)
    with tempfile.TemporaryDirectory(prefix="fhir-server-bench-") as name:
        _measure(f"sqlite:///{name}/bulk.db", resources)
    if args.mongo:
        from tests import mongod

        server = mongod.start(cache_gb=2)
        try:
            _measure(server.uri("bulk"), resources)
        finally:
            server.stop()


def _measure(url: str, resources: int) -> None:
    kind = "SQLite" if url.startswith("sqlite") else "MongoDB"
    bars = {"SQLite": (">= 4,000/s", ">= 60,000/s"), "MongoDB": (">= 2,500/s", ">= 30,000/s")}[kind]
    if asyncio.run(empty(url)):
        told(asyncio.run(imports(url, kind, resources, bars[0])))
    told(asyncio.run(exports(url, kind, bars[1])))
    told(others(url, kind))


async def empty(url: str) -> bool:
    """Whether a store holds no patient."""
    async with open_server(replace(from_environ(), store=url)) as server:
        return not await server.store.count(Query(("Patient",), EVERYTHING))


def told(figures: list[Figure]) -> None:
    """Print rows of the table."""
    for figure in figures:
        print("| " + " | ".join(figure) + " |", flush=True)


if __name__ == "__main__":
    main()
