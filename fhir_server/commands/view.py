"""`fhir-server view`: the table of a ViewDefinition. The caller is the operator: consent does not filter. https://sql-on-fhir.org/ig/"""

import argparse
import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fhir_server.app import open_server
from fhir_server.fhir.codec import decode
from fhir_server.settings import Settings
from fhir_server.views.table import Source, Written, of_files, of_store, table

FORMATS = ("csv", "ndjson", "parquet")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Write the table and tell on standard error how large it is. Raises FhirError, StoreError, OSError, ValueError."""
    kind = args.format or (args.out.suffix[1:] if args.out is not None else "csv")
    if kind not in FORMATS:
        raise ValueError(f"say --format {', '.join(FORMATS)}: {kind!r} is none of these.")
    written = asyncio.run(_view(args, settings, kind))
    print(f"{written.rows:,} rows of {written.resources:,} resources", file=sys.stderr)
    return 0


async def _view(args: argparse.Namespace, settings: Settings, kind: str) -> Written:
    def report(count: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{count:,} resources ", end="", file=sys.stderr, flush=True)

    definition = decode(args.file.read_bytes())
    processes = args.processes or os.cpu_count() or 2
    with _opened(args.out) as file:

        async def written(source: Source) -> Written:
            base = settings.base
            return await table(definition, base, source, kind, file, processes, not args.no_header, report)

        if args.ndjson:
            return await written(of_files(args.ndjson))
        async with open_server(settings) as server:
            return await written(of_store(server.store))


@contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that has its name when it is complete."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    unfinished = path.with_name(path.name + ".part")
    try:
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
