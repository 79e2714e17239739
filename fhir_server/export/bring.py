"""NDJSON into a store: lines are prepared by worker processes, written here, and noted in the same commit.

State import/[SHA-256 of a file] says up to which line the file is written. A run that was cut short, whenever that was,
goes on behind that line, and a file that was finished is passed over, under whatever name it comes.
"""

import asyncio
import gzip
import hashlib
import itertools
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from fhir_server.access import OPERATOR, transact
from fhir_server.export.prepare import Ready, Refused, begin, prepare, ready
from fhir_server.export.progress import Progress
from fhir_server.fhir.outcome import FhirError, Issue, refuse
from fhir_server.interactions.ask import Ask
from fhir_server.interactions.custom import read_custom
from fhir_server.interactions.update import apply
from fhir_server.server import Server
from fhir_server.store.seam import Busy, Conflict, Tx

LINES, BYTES = 1000, 4_000_000  # in one piece, which is one transaction
AHEAD = 3  # pieces that each worker has before it or done
ATTEMPTS = 8  # at a piece while the store is busy
ENDINGS = (".ndjson", ".ndjson.gz")


class Refusal(NamedTuple):
    """A line that was not stored, and why."""

    file: Path
    line: int
    issues: tuple[Issue, ...]


class Note(msgspec.Struct, frozen=True):
    """State of a file: the last line that is written, and what became of all so far."""

    line: int = 0
    stored: int = 0
    refused: int = 0
    finished: bool = False


class Piece(NamedTuple):
    """Lines that follow each other."""

    first: int
    lines: list[bytes]


@dataclass(slots=True)
class Import(Progress):
    """How far an import is."""

    refused: int = 0


def find(paths: Iterable[Path]) -> Iterator[Path]:
    """The NDJSON files, folders gone through in order. Raises FileNotFoundError, and ValueError for other files."""
    for path in paths:
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.name.endswith(ENDINGS) and one.is_file())
        elif not path.exists():
            raise FileNotFoundError(f"There is no file or folder {path}.")
        elif not path.name.endswith(ENDINGS):
            raise ValueError(f"{path} does not end in {' or '.join(ENDINGS)}: `fhir-server load` takes other files.")
        else:
            yield path


async def bring(
    server: Server,
    files: Sequence[Path],
    workers: int,
    again: bool,
    report: Callable[[Import], None],
    refused: Callable[[Refusal], None],
) -> Import:
    """Import the files one after the other; `again`: also those that were finished. `refused` is told each line that
    is not stored. Raises OSError, StoreError."""
    progress = Import(len(files), sum(path.stat().st_size for path in files))
    custom = msgspec.json.encode((await read_custom(server))[0])
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), begin, (server.settings.base, custom))
    try:
        for path in files:
            await _file(server, pool, workers, path, again, progress, report, refused)
            progress.bytes_done += path.stat().st_size
            report(progress)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return progress


async def _file(
    server: Server,
    pool: ProcessPoolExecutor,
    workers: int,
    path: Path,
    again: bool,
    progress: Import,
    report: Callable[[Import], None],
    refused: Callable[[Refusal], None],
) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    key = f"import/{digest}"
    found = await server.store.get_state(key)
    note, version = (msgspec.json.decode(found[0], type=Note), found[1]) if found else (Note(), 0)
    if note.finished and not again:
        progress.files_skipped += 1
        return
    note = Note() if note.finished else note
    loop, under_way = asyncio.get_running_loop(), deque[tuple[Piece, asyncio.Future[bytes]]]()
    pieces = _pieces(path, note.line, server.settings.max_body)
    while True:
        for piece in itertools.islice(pieces, max(0, AHEAD * workers - len(under_way))):
            under_way.append((piece, loop.run_in_executor(pool, prepare, digest, piece.first, piece.lines)))
        if not under_way:
            break
        piece, prepared = under_way.popleft()
        rows = ready(await prepared)
        note, told = await _patiently(server, key, rows, note, piece.first + len(piece.lines) - 1, version)
        version += 1
        for line, issues in told:
            refused(Refusal(path, line, issues))
        progress.stored += len(rows) - len(told)
        progress.refused += len(told)
        report(progress)
    await server.store.put_state(key, msgspec.json.encode(msgspec.structs.replace(note, finished=True)), version)
    progress.files_done += 1


async def _patiently(
    server: Server, key: str, rows: list[Ready | Refused], note: Note, last: int, version: int
) -> tuple[Note, list[Refused]]:
    """Write a piece with its note, tried again while the store is busy. Raises FhirError 503 if it stays so."""
    for attempt in range(ATTEMPTS):
        try:
            return await _write(server, key, rows, note, last, version)
        except (Busy, Conflict):
            await asyncio.sleep(0.05 * 2**attempt)
    raise refuse(503, "transient", f"The store stayed busy through {ATTEMPTS} attempts: import again, it goes on here.")


async def _write(
    server: Server, key: str, rows: list[Ready | Refused], note: Note, last: int, version: int
) -> tuple[Note, list[Refused]]:
    now = server.clock()

    async def work(tx: Tx) -> tuple[Note, list[Refused]]:
        told = [row for row in rows if isinstance(row, Refused)]
        for row in rows:
            if isinstance(row, Ready):
                try:
                    await apply(tx, OPERATOR, row.made, row.id, now, Ask())
                except FhirError as error:
                    told.append(Refused(row.line, error.issues))
        done = Note(last, note.stored + len(rows) - len(told), note.refused + len(told))
        if not await tx.put_state(key, msgspec.json.encode(done), version):
            raise refuse(409, "conflict", "Another import of the same file is under way.")
        return done, sorted(told)

    return await transact(server, OPERATOR, work)


def _pieces(path: Path, after: int, most: int) -> Iterator[Piece]:
    """The lines behind number `after`, in pieces. A line of more than `most` bytes is cut, so that it is refused."""
    with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
        piece, size = Piece(after + 1, []), 0
        for number, line in enumerate(_lines(file, most), 1):
            if number <= after:
                continue
            piece.lines.append(line)
            size += len(line)
            if len(piece.lines) == LINES or size > BYTES:
                yield piece
                piece, size = Piece(number + 1, []), 0
        if piece.lines:
            yield piece


def _lines(file: BinaryIO | gzip.GzipFile, most: int) -> Iterator[bytes]:
    while line := file.readline(most):
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(most)):
            pass
        yield line
