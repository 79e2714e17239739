"""Prepared lines written in pieces, each in one commit with the note of how far the file is. https://hl7.org/fhir/R4/nd-json.html"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from fhir_server.access import Caller, transact
from fhir_server.access.subjects import UNRULED, patients_of
from fhir_server.export.prepare import Ready, Refused
from fhir_server.fhir import codec
from fhir_server.fhir.outcome import FhirError, Issue, operation_outcome, refuse
from fhir_server.interactions.ask import Ask
from fhir_server.interactions.update import apply
from fhir_server.search.index import param_of
from fhir_server.search.predicate import Is, Or
from fhir_server.server import Server
from fhir_server.store.seam import Busy, Conflict, Query, TooLarge, Tx

ATTEMPTS = 8  # at a piece while the store is busy
IDENTIFIER = param_of("identifier", "token")


class Note(msgspec.Struct, frozen=True):
    """State of a file: the last line that is written, what became of all so far, how many pieces of it are told."""

    line: int = 0
    stored: int = 0
    refused: int = 0
    told: int = 0
    finished: bool = False
    by: str = ""  # the import that finished it


def told_key(key: str, number: int) -> str:
    """The key of a piece of refusals of a file, lines of NDJSON in State."""
    return f"{key}/told/{number}"


@dataclass(slots=True)
class Writing:
    """One file being written: by whom, under which key its note lies and which version that is. `name` is the file's in
    what is told of a refused line; with `keep`, a time in µs, that is kept until then. `by_identifier`: what has the
    identifier of a stored resource becomes a new version of that one."""

    server: Server
    caller: Caller
    key: str
    name: str
    keep: int | None
    by_identifier: bool
    note: Note
    version: int

    async def write(self, rows: list[Ready | Refused], last: int) -> list[Refused]:
        """Write a piece that ends with line `last`; returns what was refused. What the store or a guard refuses for one
        row does not take the others along. Raises FhirError 503 if the store stays busy."""
        return sorted(await self._divided(rows, last))

    async def _divided(self, rows: list[Ready | Refused], last: int) -> list[Refused]:
        try:
            return await self._patiently(rows, last)
        except TooLarge as error:
            issues: tuple[Issue, ...] = (Issue("too-costly", f"The store does not commit this: {error}"),)
        except FhirError as error:
            if error.status == 503:
                raise
            issues = tuple(error.issues)
        if len(rows) == 1:
            return await self._patiently([Refused(rows[0].line, issues)], last)
        half = len(rows) // 2
        return [*await self._divided(rows[:half], rows[half - 1].line), *await self._divided(rows[half:], last)]

    async def _patiently(self, rows: list[Ready | Refused], last: int) -> list[Refused]:
        for attempt in range(ATTEMPTS):
            try:
                return await self._write(rows, last)
            except (Busy, Conflict):
                await asyncio.sleep(0.05 * 2**attempt)
        text = f"The store stayed busy through {ATTEMPTS} attempts: import again, it goes on here."
        raise refuse(503, "transient", text)

    async def _write(self, rows: list[Ready | Refused], last: int) -> list[Refused]:
        note, now, definitions = self.note, self.server.clock(), self.server.definitions
        drafts = [(row.made, row.id) for row in rows if isinstance(row, Ready)]
        ruled = [(made.type, id, made.entries) for made, id in drafts if made.type not in UNRULED]
        about = set[str]().union(*(patients_of(definitions, *one) for one in ruled))

        async def work(tx: Tx) -> tuple[Note, list[Refused]]:
            refused = [row for row in rows if isinstance(row, Refused)]
            await tx.read_all([(made.type, id) for made, id in drafts])
            for row in rows:
                if isinstance(row, Ready):
                    try:
                        id = (await _identified(tx, row) if self.by_identifier else "") or row.id
                        await apply(tx, self.caller, row.made, id, now, Ask())
                    except FhirError as error:
                        refused.append(Refused(row.line, tuple(error.issues)))
            kept = bool(refused) and self.keep is not None
            if kept:
                await self._keep(tx, note.told, refused)
            stored = note.stored + len(rows) - len(refused)
            done = Note(last, stored, note.refused + len(refused), note.told + kept)
            if not await tx.put_state(self.key, msgspec.json.encode(done), self.version):
                raise Overtaken
            return done, refused

        self.note, refused = await transact(self.server, self.caller, work, about)
        self.version += 1
        return refused

    async def _keep(self, tx: Tx, number: int, refused: list[Refused]) -> None:
        lines = b"".join(outcome(self.name, *one) + b"\n" for one in sorted(refused))
        place = told_key(self.key, number)
        before = await tx.get_state(place)  # of a run before that was begun anew
        await tx.put_state(place, lines, before[1] if before else 0, self.keep)


class Overtaken(Exception):
    """Another import writes the same file: its note is of another version than ours."""


def outcome(name: str, line: int, issues: Iterable[Issue]) -> bytes:
    """The OperationOutcome of a line of a file."""
    place = f"{name}:{line}"
    told = [Issue(one.code, f"{place}: {one.diagnostics}", one.expression, one.severity) for one in issues]
    return codec.encode(operation_outcome(told))


async def _identified(tx: Tx, row: Ready) -> str:
    """The id of the stored resource that has an identifier of a row; "" if there is none. Raises FhirError 412 if there
    are several."""
    found = [entry[1:3] for entry in row.made.entries if entry[0] == IDENTIFIER and entry[1] and entry[2]]
    if not found:
        return ""
    alike = Or(tuple(Is(IDENTIFIER, (("system", "=", system), ("code", "=", code))) for system, code in found))
    rows = (await tx.search(Query((row.made.type,), alike, count=2))).rows
    if len(rows) > 1:
        text = f"Several resources of type {row.made.type} have its identifier: it is not clear which is meant."
        raise refuse(412, "multiple-matches", text, f"{row.made.type}.identifier")
    return rows[0].id if rows else ""
