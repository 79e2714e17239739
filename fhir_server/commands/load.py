"""`fhir-server load`: files into a store, with progress, rate and every refusal."""

import argparse
import asyncio
import shutil
import sys
import time
from collections.abc import Callable

from fhir_server.access import OPERATOR
from fhir_server.app import open_server
from fhir_server.export.load import Progress, load
from fhir_server.export.sources import find
from fhir_server.fhir.codec import Resource
from fhir_server.interactions.ask import Ask
from fhir_server.interactions.batch import batch_or_transaction
from fhir_server.interactions.transaction import Also
from fhir_server.settings import Settings

LINE_EVERY = 5.0  # seconds between two lines where there is no terminal


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Load and print the summary; 1 if anything was refused. Raises FileNotFoundError, StoreError."""
    progress = asyncio.run(_load(args, settings))
    for refusal in progress.refusals:
        print(f"refused: {refusal.file}{refusal.place and f' {refusal.place}'}: {refusal.reason}", file=sys.stderr)
    skipped = f", {progress.files_skipped} of them loaded before" if progress.files_skipped else ""
    print(
        f"{progress.files} files{skipped}: {progress.stored:,} resources stored, {len(progress.refusals):,} refused, "
        f"{progress.rate:,.0f}/s"
    )
    return 1 if progress.refusals else 0


async def _load(args: argparse.Namespace, settings: Settings) -> Progress:
    files = list(find(args.paths))
    async with open_server(settings) as server:

        async def execute(bundle: Resource, also: Also | None) -> bytes:
            return (await batch_or_transaction(server, OPERATOR, Ask(resource=bundle), also=also)).body

        return await load(server.store, execute, files, args.again, _reporter())


def _reporter() -> Callable[[Progress], None]:
    """A bar that redraws itself on a terminal, else a line now and then; both on standard error."""
    terminal, due = sys.stderr.isatty(), time.monotonic() + (0 if sys.stderr.isatty() else LINE_EVERY)

    def report(progress: Progress) -> None:
        nonlocal due
        now, last = time.monotonic(), progress.files_done + progress.files_skipped == progress.files
        if now < due and not (terminal and last):
            return
        due = now + (0.1 if terminal else LINE_EVERY)
        text = f"{progress.files_done}/{progress.files} files, {progress.stored:,} resources, {progress.rate:,.0f}/s"
        if terminal:
            width = max(10, min(40, shutil.get_terminal_size().columns - len(text) - 4))
            full = round(width * progress.bytes_done / max(progress.total_bytes, 1))
            text = f"\r[{'#' * full}{'.' * (width - full)}] {text}"
        print(text, end="\n" if last or not terminal else "", file=sys.stderr, flush=True)

    return report
