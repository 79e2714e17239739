"""`fhir-server import`: NDJSON into a store, as fast as it goes, with every line that was refused."""

import argparse
import asyncio
import contextlib
import os
import sys
from typing import BinaryIO

from fhir_server.app import open_server
from fhir_server.commands import ctml
from fhir_server.commands.bar import reporter, summary
from fhir_server.export.bring import Import, Refusal, bring, find
from fhir_server.fhir import codec
from fhir_server.fhir.outcome import Issue, operation_outcome
from fhir_server.settings import Settings


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Import and print the summary; 1 if anything was refused. Raises FileNotFoundError, ValueError, StoreError."""
    if str(args.paths[0]) == ctml.NAME:
        return ctml.import_(args, settings)
    progress = asyncio.run(_import(args, settings))
    print(summary(progress, progress.refused, "imported"))
    return 1 if progress.refused else 0


async def _import(args: argparse.Namespace, settings: Settings) -> Import:
    files = list(find(args.paths))
    workers = args.processes or max(1, (os.cpu_count() or 2) - 1)
    with contextlib.ExitStack() as stack:
        out: BinaryIO = stack.enter_context(args.refused.open("ab")) if args.refused else sys.stderr.buffer

        def refused(one: Refusal) -> None:
            out.write(outcome(one) + b"\n")
            out.flush()

        async with open_server(settings) as server:
            return await bring(server, files, workers, args.again, reporter(), refused)


def outcome(refusal: Refusal) -> bytes:
    """The OperationOutcome of a line."""
    place = f"{refusal.file}:{refusal.line}"
    issues = [Issue(one.code, f"{place}: {one.diagnostics}", one.expression, one.severity) for one in refusal.issues]
    return codec.encode(operation_outcome(issues))
