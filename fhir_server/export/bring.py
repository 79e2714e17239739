"""NDJSON into a store: lines are prepared by worker processes, written here, and noted in the same commit.

State import/[SHA-256 of a file], for a client import/[client]/[SHA-256], says up to which line the file is written. A
run that was cut short, whenever that was, goes on behind that line, and a file that was finished is passed over, under
whatever name it comes.
"""

import asyncio
import gzip
import hashlib
import itertools
import multiprocessing
import zlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
from msgspec.structs import replace

from fhir_server.access import OPERATOR, Caller
from fhir_server.export.noted import Note, Overtaken, Writing
from fhir_server.export.prepare import Ready, Refused, begin, prepare, ready
from fhir_server.export.progress import Progress
from fhir_server.fhir import codec
from fhir_server.fhir.outcome import FhirError, Issue, refuse
from fhir_server.interactions.custom import read_custom
from fhir_server.interactions.draft import change
from fhir_server.interactions.job_run import stop
from fhir_server.interactions.profiles import require_profiles
from fhir_server.server import Server

LINES, BYTES = 1000, 4_000_000  # in one piece, which is one transaction
AHEAD = 3  # pieces that each worker has before it or done
ENDINGS = (".ndjson", ".ndjson.gz")


class Refusal(NamedTuple):
    """A line that was not stored, and why."""

    file: Path
    line: int
    issues: tuple[Issue, ...]


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
    by_identifier: bool = False,
) -> Import:
    """Import the files one after the other, as the operator; `again`: also those that were finished. `refused` is told
    each line that is not stored. Raises OSError, StoreError."""
    progress = Import(len(files), sum(path.stat().st_size for path in files))
    async with preparing(server, workers) as pool:
        bringing = Bringing(server, OPERATOR, pool, workers, again, report, refused, by_identifier=by_identifier)
        for path in files:
            await bring_file(bringing, path, progress)
            progress.bytes_done += path.stat().st_size
            report(progress)
    return progress


@asynccontextmanager
async def preparing(server: Server, workers: int) -> AsyncIterator[Executor]:
    """Processes that make lines ready."""
    custom = msgspec.json.encode((await read_custom(server))[0])
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, begin, (server.settings.base, custom))
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Bringing:
    """How files are imported, and who does it. With `keep`, a time in µs, refusals are kept in State until then."""

    server: Server
    caller: Caller
    pool: Executor
    workers: int
    again: bool
    report: Callable[[Import], None]
    refused: Callable[[Refusal], None]
    type: str = ""  # what a file holds; "": anything
    source: str = ""  # of resources that do not say where they come from (meta.source)
    by_identifier: bool = False  # what has the identifier of a stored resource is a new version of it
    keep: int | None = None
    name: str = ""  # of the file where refusals are told; "": its path
    job: str = ""  # the import that it is part of


def note_key(caller: Caller, digest: str) -> str:
    """The key of the note on a file: another client may be refused what one was permitted, and the other way round."""
    own = "" if caller.free else hashlib.sha256(caller.id.encode()).hexdigest()[:16] + "/"
    return f"import/{own}{digest}"


def digest_of(path: Path) -> str:
    """What a file is known by."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def bring_file(how: Bringing, path: Path, progress: Import) -> Note:
    """Import what of a file is not yet, and say how it stands in all. Raises OSError, FhirError 409 if another import
    of it is under way, 503, StoreError."""
    server = how.server
    digest = await asyncio.to_thread(digest_of, path)
    key = note_key(how.caller, digest)
    found = await server.store.get_state(key)
    note, version = (msgspec.json.decode(found[0], type=Note), found[1]) if found else (Note(), 0)
    if note.finished and how.job and note.by == how.job:  # whoever finished it died before it could say so
        return note
    if note.finished and not how.again:
        progress.files_skipped += 1
        return note
    note = Note() if note.finished else note
    writing = Writing(server, how.caller, key, how.name or str(path), how.keep, how.by_identifier, note, version)
    async with aclosing(_prepared(how, digest, _pieces(path, note.line, server.settings.max_body))) as pieces:
        following = asyncio.ensure_future(anext(pieces, None))
        try:
            while (piece := await following) is not None:
                last, rows = piece
                following = asyncio.ensure_future(anext(pieces, None))  # read while the store writes
                rows = await _judged(server, rows)  # by what the pieces before have stored
                refused = await writing.write(rows, last)
                for one in refused:
                    how.refused(Refusal(path, *one))
                progress.stored += len(rows) - len(refused)
                progress.refused += len(refused)
                how.report(progress)
        except Overtaken:
            raise refuse(409, "conflict", "Another import of the same file is under way.") from None
        finally:
            await stop(following)
    note = replace(writing.note, finished=True, by=how.job)
    await server.store.put_state(key, msgspec.json.encode(note), writing.version)
    progress.files_done += 1
    return note


async def _prepared(
    how: Bringing, digest: str, pieces: Iterator[Piece]
) -> AsyncGenerator[tuple[int, list[Ready | Refused]], None]:
    """The pieces made ready, each with the number of its last line."""
    loop, under_way = asyncio.get_running_loop(), deque[tuple[Piece, asyncio.Future[bytes]]]()
    while True:
        room = max(0, AHEAD * how.workers - len(under_way))
        for piece in await asyncio.to_thread(list, itertools.islice(pieces, room)):  # files are large: others go on
            given = (digest, piece.first, piece.lines, how.type, how.source)
            under_way.append((piece, loop.run_in_executor(how.pool, prepare, *given)))
        if not under_way:
            return
        piece, prepared = under_way.popleft()
        yield piece.first + len(piece.lines) - 1, ready(await prepared)


async def _judged(server: Server, rows: list[Ready | Refused]) -> list[Ready | Refused]:
    """The rows, refused where profiles are enforced that they do not meet."""
    if server.settings.profiles == "off":
        return rows
    judged: list[Ready | Refused] = []
    for row in rows:
        try:
            if isinstance(row, Ready):
                await require_profiles(server, (codec.decode(change(row.made, row.id, 1, 0, "PUT").body),))
            judged.append(row)
        except FhirError as error:
            judged.append(Refused(row.line, error.issues))
    return judged


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
    try:
        while line := file.readline(most):
            rest = line
            while not rest.endswith(b"\n") and (rest := file.readline(most)):
                pass
            yield line
    except (EOFError, zlib.error) as error:
        raise OSError(f"it is cut off or damaged: {error}") from None
