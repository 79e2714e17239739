"""Files into a store, through the same transaction interaction as over HTTP. https://hl7.org/fhir/R4/http.html#transaction

Finished files are noted in the store's State by path, size and hash: a run that was interrupted goes on where it
stopped. A file of which nothing was stored is not noted, so that the next run tries it again. A transaction notes in
its own commit which piece of a file it was: a run after one that was killed does not store that piece once more.
"""

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fhir_server.export.progress import Progress
from fhir_server.export.sources import Unreadable, Work, read
from fhir_server.fhir.codec import Resource, decode, encode
from fhir_server.fhir.outcome import FhirError, Issue, refuse
from fhir_server.interactions.transaction import Also
from fhir_server.store.seam import Busy, Conflict, Store, TooLarge, Tx

IN_FLIGHT = 4  # transactions under way, so that the store can commit several together and parsing goes on meanwhile
ATTEMPTS = 7  # of a piece while the store is busy: three seconds of waiting in all

# A transaction or batch Bundle -> the bytes of its response Bundle; `also` is performed within the transaction.
Execute = Callable[[Resource, Also | None], Awaitable[bytes]]
KEPT = 30 * 86_400_000_000  # microseconds that the note of a piece is kept: long enough to start the run again


class Refusal(NamedTuple):
    """What was not stored and why: the file, the entry or line in it ("" for all of it), the reason."""

    file: Path
    place: str
    reason: str


@dataclass(slots=True)
class Loading(Progress):
    """How far a load is; `report` is called with it whenever it moved."""

    refusals: list[Refusal] = field(default_factory=list)


@dataclass(slots=True)
class Tally:
    """What became of one file so far."""

    path: Path
    note: str  # the key of its note in State; its pieces are noted below it
    pieces: int = 0  # begun
    stored: int = 0
    refusals: list[Refusal] = field(default_factory=list)


class Noted(Exception):
    """The piece was committed by a run that was killed before it could note the file."""


class Outcome(NamedTuple):
    """What became of one piece of a file."""

    stored: int
    refusals: tuple[Refusal, ...]


async def load(
    store: Store, execute: Execute, files: Iterable[Path], again: bool, report: Callable[[Loading], None]
) -> Loading:
    """Load the files; `again` also loads those that are noted as finished. Raises OSError, StoreError.

    Files of which nothing was stored, perhaps because they refer to others, are tried again after all others.
    """
    todo = list(files)
    progress = Loading(len(todo), sum(path.stat().st_size for path in todo))
    while todo:
        before, refused = progress.stored, []
        async for tally in _in_flight(execute, again, _pieces(store, todo, again, progress), progress, report):
            if tally.refusals and not tally.stored:
                refused.append(tally)
                continue
            progress.refusals += tally.refusals
            progress.files_done += 1
            progress.bytes_done += tally.path.stat().st_size
            await _put_note(store, tally)
            report(progress)
        if progress.stored == before or not refused:
            progress.refusals += [refusal for tally in refused for refusal in tally.refusals]
            return progress
        todo = [tally.path for tally in refused]
    return progress


async def _pieces(
    store: Store, files: list[Path], again: bool, progress: Loading
) -> AsyncIterator[tuple[Tally, Work | Unreadable | None]]:
    """The pieces of all files that are not finished; None after the last piece of each."""
    for path in files:
        tally = Tally(path, _note(path))
        if not again and await store.get_state(tally.note):
            progress.files_skipped += 1
            continue
        for piece in read(path):
            yield tally, piece
        yield tally, None


async def _in_flight(
    execute: Execute,
    again: bool,
    pieces: AsyncIterator[tuple[Tally, Work | Unreadable | None]],
    progress: Loading,
    report: Callable[[Loading], None],
) -> AsyncIterator[Tally]:
    """Execute the pieces with IN_FLIGHT of them under way; yields each file when it is finished, in order."""
    under_way: deque[tuple[Tally, asyncio.Task[Outcome] | None]] = deque()

    async def finish_one() -> Tally | None:
        tally, task = under_way.popleft()
        if task is None:
            return tally
        outcome = await task
        tally.stored += outcome.stored
        tally.refusals += outcome.refusals
        progress.stored += outcome.stored
        report(progress)
        return None

    try:
        async for tally, piece in pieces:
            note = None if again else f"{tally.note}/{tally.pieces}"
            tally.pieces += 1
            task = asyncio.create_task(_execute(execute, tally.path, piece, note)) if piece else None
            under_way.append((tally, task))
            await asyncio.sleep(0)  # lets it validate and enter the store's queue in the order of the files
            while len(under_way) > IN_FLIGHT:
                if finished := await finish_one():
                    yield finished
        while under_way:
            if finished := await finish_one():
                yield finished
    finally:
        for _, task in under_way:
            if task:
                task.cancel()


async def _execute(execute: Execute, path: Path, piece: Work | Unreadable, note: str | None) -> Outcome:
    if isinstance(piece, Unreadable):
        return Outcome(0, (Refusal(path, piece.place, piece.diagnostics),))
    try:
        return _outcome(path, piece, await _patiently(execute, piece.bundle, note))
    except Noted:
        return Outcome(len(piece.places), ())
    except FhirError as refusal:
        if not (piece.divisible and len(piece.places) > 1):
            place = piece.places[0] if piece.divisible else ""
            return Outcome(0, (Refusal(path, place, "; ".join(map(_words, refusal.issues))),))
    return _outcome(path, piece, await _patiently(execute, {**piece.bundle, "type": "batch"}, None))


async def _patiently(execute: Execute, bundle: Resource, note: str | None) -> Resource:
    """The response Bundle; tried again while the store is busy or others write the same resources. Raises Noted."""

    async def also(tx: Tx, response: bytes) -> None:
        if note and not await tx.put_state(note, b"{}", 0, time.time_ns() // 1000 + KEPT):
            raise Noted

    for attempt in range(ATTEMPTS):
        try:
            response: Resource = decode(await execute(bundle, also))
            return response
        except TooLarge as error:
            raise refuse(413, "too-costly", f"The store does not commit this in one piece: {error}") from None
        except (Busy, Conflict):
            await asyncio.sleep(0.05 * 2**attempt)
    raise refuse(503, "transient", f"The store stayed busy through {ATTEMPTS} attempts: load this file again.")


def _outcome(path: Path, piece: Work, response: Resource) -> Outcome:
    """Count what a response Bundle says was done; its entries stand in the order of the request's."""
    refusals = []
    for place, entry in zip(piece.places, response.get("entry", ()), strict=True):
        if not str(entry["response"]["status"]).startswith(("2", "3")):
            issues = entry["response"].get("outcome", {}).get("issue", ())
            reasons = [_words(Issue("", i.get("diagnostics", ""), tuple(i.get("expression", ())))) for i in issues]
            refusals.append(Refusal(path, place, "; ".join(reasons) or entry["response"]["status"]))
    return Outcome(len(piece.places) - len(refusals), tuple(refusals))


def _words(issue: Issue) -> str:
    return f"{', '.join(issue.expression)}: {issue.diagnostics}" if issue.expression else issue.diagnostics


def _note(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    name = f"{path.resolve()}|{path.stat().st_size}|{digest}"
    return "loaded/" + hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()


async def _put_note(store: Store, tally: Tally) -> None:
    current = await store.get_state(tally.note)
    value = encode({"stored": tally.stored, "refused": len(tally.refusals)})
    await store.put_state(tally.note, value, current[1] if current else 0)
