"""A bar that redraws itself on a terminal, else a line now and then; both on standard error."""

import shutil
import sys
import time
from collections.abc import Callable

from fhir_server.export.progress import Progress

REDRAW, LINE_EVERY = 0.1, 5.0  # seconds between two drawings on a terminal, and between two lines elsewhere


def reporter() -> Callable[[Progress], None]:
    """What shows a run's progress whenever it is called."""
    terminal = sys.stderr.isatty()
    pause = REDRAW if terminal else LINE_EVERY
    due = time.monotonic() + (0 if terminal else pause)

    def report(progress: Progress) -> None:
        nonlocal due
        now, last = time.monotonic(), progress.files_done + progress.files_skipped == progress.files
        if now < due and not (terminal and last):
            return
        due = now + pause
        text = f"{progress.files_done}/{progress.files} files, {progress.stored:,} resources, {progress.rate:,.0f}/s"
        if terminal:
            width = max(10, min(40, shutil.get_terminal_size().columns - len(text) - 4))
            full = round(width * progress.bytes_done / max(progress.total_bytes, 1))
            text = f"\r[{'#' * full}{'.' * (width - full)}] {text}"
        print(text, end="\n" if last or not terminal else "", file=sys.stderr, flush=True)

    return report


def summary(progress: Progress, refused: int, done: str) -> str:
    """What a run did, in one line; `done`: what had been done before with files that were skipped."""
    skipped = f", {progress.files_skipped} of them {done} before" if progress.files_skipped else ""
    stored = f"{progress.stored:,} resources stored, {refused:,} refused, {progress.rate:,.0f}/s"
    return f"{progress.files} files{skipped}: {stored}"
