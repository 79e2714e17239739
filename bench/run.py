"""`make bench`: every figure beside the raw limit of the same run, as a Markdown table for docs/performance.md.

python -m bench.run --scale 200k --mongo
"""

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from bench import corpus, machine
from bench.loading import Pace, fill, keys_per_resource, mean_rate
from bench.process import ask, fhir_server, resident_mb, uvicorn
from bench.searching import asked_over_http, explained, questions
from fhir_server.app import open_server
from fhir_server.fhir.codec import decode, encode
from fhir_server.settings import from_environ

SCALES = {"1k": 1_000, "10k": 10_000, "50k": 50_000, "200k": 200_000, "1M": 1_000_000}


class Figure(NamedTuple):
    """A row: what was measured, the result, what to reach, and the raw limit of the same run."""

    what: str
    result: str
    reach: str
    raw: str


def start_and_memory(folder: Path) -> list[Figure]:
    """From the start of the process to the first answer, and memory after it."""
    with uvicorn("bench.raw:bare") as raw:
        raw_start, raw_memory = raw.started_in, resident_mb(raw.pid)
    with fhir_server(f"sqlite:///{folder}/start.db") as server:
        started, memory = server.started_in, resident_mb(server.pid)
    return [
        Figure("start of `serve`, to the first answer", f"{started:.2f} s", "<= 2 s", f"bare ASGI {raw_start:.2f} s"),
        Figure("idle memory", f"{memory:.0f} MB", "<= 150 MB", f"bare ASGI {raw_memory:.0f} MB"),
    ]


def reads_and_creates(folder: Path) -> list[Figure]:
    """HTTP with 16 clients: read by id, create."""
    store, body = f"sqlite:///{folder}/http.db", folder / "observation.json"
    body.write_bytes(encode(corpus.genomic_observation()))
    with (
        fhir_server(store, access_log="false") as server,
        uvicorn("bench.raw:routed", BENCH_BODY=str(body)) as routed_app,
        uvicorn("bench.raw:bare", BENCH_BODY=str(body)) as bare_app,
    ):
        created = ask("POST", f"{server.origin}/fhir/Observation", body=body)
        asyncio.run(_put_one(store))
        urls = [f"{one.origin}/fhir/Observation/one" for one in (server, routed_app, bare_app)]
        # In turns and the best of each, so that what else the machine does meets all three alike.
        rounds = [[ask("GET", url, seconds=2) for url in urls] for _ in range(4)]
    read, routed_best, bare_best = (
        max(column, key=lambda one: one["per_second"]) for column in zip(*rounds, strict=True)
    )
    rate, routed, bare = read["per_second"], routed_best["per_second"], bare_best["per_second"]
    return [
        Figure(
            "read by id, 16 clients",
            f"**{rate / routed:.2f}** of Starlette: {rate:,.0f}/s, p50 {read['p50_ms']:.1f} ms",
            ">= 0.6 of Starlette", f"Starlette {routed:,.0f}/s, bare ASGI {bare:,.0f}/s (ratio {rate / bare:.2f})",
        ),
        Figure(
            "create, one Observation per request, 16 clients",
            f"**{created['per_second']:,.0f}/s**, p50 {created['p50_ms']:.1f} ms, p99 {created['p99_ms']:.1f} ms",
            ">= 800/s", f"SQLite alone, one row per durable commit: {_commits(folder):,.0f}/s",
        ),
    ]  # fmt: skip


async def _put_one(store: str) -> None:
    from fhir_server.access import OPERATOR
    from fhir_server.interactions.ask import Ask
    from fhir_server.interactions.update import update

    resource = {**corpus.genomic_observation(), "id": "one"}
    async with open_server(replace(from_environ(), store=store)) as server:
        await update(server, OPERATOR, Ask(type="Observation", id="one", resource=resource))


def _commits(folder: Path) -> float:
    """Rows a second with one durable commit each: what creates would be without group commit."""
    connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
    connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t (b BLOB)")
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < 1.5:
        connection.execute("INSERT INTO t VALUES (?)", (b"x" * 3000,))
        count += 1
    connection.close()
    return count / 1.5


async def indexing(folder: Path) -> list[Figure]:
    """Search entries, validation and encoding of one variant Observation."""
    body = encode(corpus.genomic_observation())
    resource = {**decode(body), "id": "one"}
    async with open_server(replace(from_environ(), store=f"sqlite:///{folder}/index.db")) as server:
        count = len(server.index(resource))
        index, validate = _micros(lambda: server.index(resource)), _micros(lambda: server.validate(resource))
    parsed = _micros(lambda: decode(body))
    return [
        Figure(
            f"index one variant Observation ({len(body):,} bytes, {count} entries)", f"**{index:.0f} µs**", "<= 100 µs",
            f"decoding it {parsed:.0f} µs; validating it {validate:.0f} µs",
        )
    ]  # fmt: skip


def _micros(call: Callable[[], Any]) -> float:
    """The best of seven means of 300 calls, in microseconds: the machine is shared."""

    def once() -> float:
        began = time.perf_counter()
        for _ in range(300):
            call()
        return (time.perf_counter() - began) / 300 * 1e6

    return min(once() for _ in range(7))


async def load_and_search(url: str, resources: int, reach: tuple[str, str]) -> tuple[list[Figure], dict[str, Any]]:
    """Transaction bundles into an empty store, then the dashboard's search; also how the store explains it."""
    kind = "SQLite" if url.startswith("sqlite") else "MongoDB"
    async with open_server(replace(from_environ(), store=url)) as server:
        paces = await fill(server, resources)
        searches = await questions(server)
        plan = await explained(server, searches[0])
    found = await asyncio.to_thread(asked_over_http, url, searches)
    keys, size = keys_per_resource(url)
    return [
        Figure(
            f"{corpus.name()} transaction bundles, {paces[-1].stored:,} resources, {kind}",
            f"**{mean_rate(paces):,.0f} resources/s**", reach[0], _decay(paces),
        ),
        Figure(
            f"`Observation?patient=&code=&_sort=-date&_count=20`, {paces[-1].stored:,} resources, {kind}, over HTTP",
            f"**p50 {found['p50_ms']:.1f} ms**, p99 {found['p99_ms']:.1f} ms", reach[1],
            f"{len(searches)} patients in turn, {found['requests']:,} requests",
        ),
        Figure(f"index keys per resource, {kind}", f"**{keys:.1f}**", "<= 40", f"{size:,.0f} bytes each on disk"),
    ], plan  # fmt: skip


def _decay(paces: list[Pace]) -> str:
    shown = [paces[round(at * (len(paces) - 1) / 4)] for at in range(5)] if len(paces) > 5 else paces
    return "; ".join(f"{pace.rate:,.0f}/s at {pace.stored:,}" for pace in shown)


def main() -> None:
    """Measure and print as Markdown; what is going on is told on standard error."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", choices=SCALES, default="10k", help="resources to load (default: 10k)")
    parser.add_argument("--mongo", action="store_true", help="load and search MongoDB as well (tests/mongod.py)")
    parser.add_argument("--no-http", action="store_true", help="leave out start, reads and creates")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fhir-server-bench-") as name:
        _print_all(args, Path(name))


def _print_all(args: argparse.Namespace, folder: Path) -> None:
    print(f"{machine.describe()}\n\n| what | result | to reach | raw limit or detail |\n|---|---|---|---|", flush=True)
    if not args.no_http:
        _print(start_and_memory(folder))
        _print(reads_and_creates(folder))
    _print(asyncio.run(indexing(folder)))
    plans = {}
    sqlite = f"sqlite:///{folder}/load.db"
    figures, plans["SQLite"] = asyncio.run(load_and_search(sqlite, SCALES[args.scale], (">= 1,500/s", "p50 <= 5 ms")))
    _print(figures)
    if args.mongo:
        from tests import mongod

        server = mongod.start(cache_gb=2)
        try:
            url = server.uri("bench")
            figures, plans["MongoDB"] = asyncio.run(
                load_and_search(url, SCALES[args.scale], (">= 900/s", "p50 <= 8 ms"))
            )
            _print(figures)
        finally:
            server.stop()
    for kind, plan in plans.items():
        print(f"\n{kind} explains the search:\n\n```\n" + "\n".join(_steps(plan)) + "\n```")


def _steps(plan: Any, depth: int = 0) -> list[str]:
    """The steps of a plan: SQLite's lines, MongoDB's stages (of the plan that won) with the index of each."""
    if isinstance(plan, list):
        return [step for one in plan for step in _steps(one, depth)]
    if not isinstance(plan, dict):
        return []
    if "sqlite" in plan:
        return list(plan["sqlite"])
    name = " ".join(str(plan[key]) for key in ("stage", "indexName", "keyPattern") if key in plan)
    inside = (value for key, value in plan.items() if key not in ("rejectedPlans", "executionStats"))
    return ["  " * depth + name] * bool(name) + [step for one in inside for step in _steps(one, depth + bool(name))]


def _print(figures: list[Figure]) -> None:
    for figure in figures:
        print("| " + " | ".join(figure) + " |", flush=True)
        print(f"measured: {figure.what}", file=sys.stderr)


if __name__ == "__main__":
    main()
