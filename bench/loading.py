"""How fast bundles go in, how that decays, and how many index keys they leave behind."""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from bench import corpus
from fhir_server.access import OPERATOR
from fhir_server.export.load import load
from fhir_server.fhir.codec import Resource
from fhir_server.interactions.ask import Ask
from fhir_server.interactions.batch import batch_or_transaction
from fhir_server.interactions.transaction import Also
from fhir_server.server import Server

WINDOW = 10_000  # resources between two looks at the clock


class Pace(NamedTuple):
    """Resources stored so far, and how many a second went in during the last window."""

    stored: int
    rate: float


async def fill(server: Server, resources: int) -> list[Pace]:
    """Load `resources` or a few more, through the same code as `fhir-server load`; writing the files is not timed."""

    async def execute(bundle: Resource, also: Also | None) -> bytes:
        return (await batch_or_transaction(server, OPERATOR, Ask(resource=bundle), also=also)).body

    paces: list[Pace] = []
    stored, source = 0, corpus.bundles()
    while stored < resources:
        folder = Path(tempfile.mkdtemp(prefix="fhir-server-bench-"))
        try:
            files = _window(source, folder, min(WINDOW, resources - stored))
            began = time.perf_counter()
            progress = await load(server.store, execute, files, True, lambda progress: None)
            elapsed = time.perf_counter() - began
        finally:
            shutil.rmtree(folder)
        if progress.refusals:
            raise RuntimeError(f"refused: {progress.refusals[0]}")
        stored += progress.stored
        paces.append(Pace(stored, progress.stored / elapsed))
    return paces


def _window(source: Iterator[tuple[bytes, int]], folder: Path, resources: int) -> list[Path]:
    files: list[Path] = []
    found = 0
    for number, (text, count) in enumerate(islice(source, resources)):
        files.append(folder / f"{number:06}.json")
        files[-1].write_bytes(text)
        found += count
        if found >= resources:
            break
    return files


def mean_rate(paces: list[Pace]) -> float:
    """Resources a second over all windows."""
    before = [0, *(pace.stored for pace in paces)]
    seconds = sum((pace.stored - start) / pace.rate for start, pace in zip(before, paces, strict=False))
    return paces[-1].stored / seconds


def keys_per_resource(url: str) -> tuple[float, float]:
    """Index keys over all indexes of a store, and bytes on disk, both per resource."""
    return _sqlite_keys(url) if url.startswith("sqlite") else _mongo_keys(url)


def _sqlite_keys(url: str) -> tuple[float, float]:
    """Every row of every B-tree that is an index: secondary indexes, and tables that are nothing but an index."""
    path = url.removeprefix("sqlite:///")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    rows = connection.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema").fetchall()
    keys = 0
    for type, name, table, sql in rows:
        if type == "index":
            where = sql.partition(" WHERE ")[2]
            keys += connection.execute(f"SELECT count(*) FROM {table} WHERE {where or 1}").fetchone()[0]
        elif "WITHOUT ROWID" in sql:
            keys += connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
    resources = connection.execute("SELECT count(*) FROM resource").fetchone()[0]
    connection.close()
    return keys / resources, Path(path).stat().st_size / resources


def _mongo_keys(url: str) -> tuple[float, float]:
    from pymongo import MongoClient

    client: MongoClient[dict[str, Any]] = MongoClient(url)
    with client:
        database = client.get_default_database()
        names = database.list_collection_names()
        keys = sum(sum(database.validate_collection(name)["keysPerIndex"].values()) for name in names)
        size = database.command("dbStats")
        resources = database["resource"].estimated_document_count()
    return keys / resources, (size["storageSize"] + size["indexSize"]) / resources
