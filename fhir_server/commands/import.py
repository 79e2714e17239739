"""`fhir-server import`: NDJSON into a store, as fast as it goes, with every line that was refused."""

import argparse
import asyncio
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import BinaryIO

from fhir_server.app import open_server
from fhir_server.export.bring import Progress, Refusal, bring, find
from fhir_server.fhir import codec
from fhir_server.fhir.outcome import Issue, operation_outcome
from fhir_server.settings import Settings

LINE_EVERY = 5.0  # seconds between two lines where there is no terminal


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Import and print the summary; 1 if anything was refused. Raises FileNotFoundError, ValueError, StoreError."""
    progress = asyncio.run(_import(args, settings))
    skipped = f", {progress.files_skipped} of them imported before" if progress.files_skipped else ""
    print(
        f"{progress.files} files{skipped}: {progress.stored:,} resources stored, {progress.refused:,} refused, "
        f"{progress.rate:,.0f}/s"
    )
    return 1 if progress.refused else 0


async def _import(args: argparse.Namespace, settings: Settings) -> Progress:
    files = list(find(args.paths))
    workers = args.processes or max(1, (os.cpu_count() or 2) - 1)
    with contextlib.ExitStack() as stack:
        out: BinaryIO = stack.enter_context(args.refused.open("ab")) if args.refused else sys.stderr.buffer

        def refused(one: Refusal) -> None:
            out.write(outcome(one) + b"\n")
            out.flush()

        async with open_server(settings) as server:
            return await bring(server, files, workers, args.again, _reporter(), refused)


def outcome(refusal: Refusal) -> bytes:
    """The OperationOutcome of a line."""
    place = f"{refusal.file}:{refusal.line}"
    issues = [Issue(one.code, f"{place}: {one.diagnostics}", one.expression, one.severity) for one in refusal.issues]
    return codec.encode(operation_outcome(issues))


def _reporter() -> Callable[[Progress], None]:
    """A bar that redraws itself on a terminal, else a line now and then; both on standard error."""
    terminal, due = sys.stderr.isatty(), time.monotonic() + LINE_EVERY

    def report(progress: Progress) -> None:
        nonlocal due
        now, last = time.monotonic(), progress.files_done + progress.files_skipped == progress.files
        if not terminal and now < due:
            return
        due = now + LINE_EVERY
        text = f"{progress.files_done}/{progress.files} files, {progress.stored:,} resources, {progress.rate:,.0f}/s"
        if terminal:
            width = max(10, min(40, shutil.get_terminal_size().columns - len(text) - 4))
            full = round(width * progress.bytes_done / max(progress.total_bytes, 1))
            text = f"\r[{'#' * full}{'.' * (width - full)}] {text}"
        print(text, end="\n" if last or not terminal else "", file=sys.stderr, flush=True)

    return report
