"""Writing an export: type after type, file after file, each noted in State when it is on the disk.

Whoever takes it over goes on behind the last file that was noted, with the same point in time and the same names: what
the client sees at the end is the same, however often the work was cut short.
"""

import asyncio
import secrets
import shutil
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any

from msgspec.structs import replace

from fhir_server.access import Caller
from fhir_server.access.renewal import renew_due
from fhir_server.export.asked import MEMBERS, Scope, write_members
from fhir_server.export.blocks import Block, Sorted, header
from fhir_server.export.deleted import bundles_of_deleted
from fhir_server.export.files import Output, bring_back, folder_of, forget_notes, keep, keep_file, notes
from fhir_server.export.group import members, read_group
from fhir_server.export.job import Export, File
from fhir_server.export.members import kinds_of
from fhir_server.export.provenance import about, latest, persons
from fhir_server.export.rows import Batch, rows_at, versions_since
from fhir_server.export.wish import elements_of
from fhir_server.fhir import codec
from fhir_server.fhir.outcome import Issue, operation_outcome, refuse
from fhir_server.interactions.lease import Lease
from fhir_server.interactions.subset import subset
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import REQUESTED, Server
from fhir_server.store.seam import Query, Stored

MOST_BYTES = 256_000_000  # of a file, whatever number of resources that is
# While requests come they wait for a page to be written: it holds few resources, and after it they have a time alone.
FEW, REST = 100, 0.04  # resources, seconds
PAUSE, DECODED = 200, 50  # lines of a block, and resources that are decoded, between two turns of other requests

GiveWay = Callable[[], Awaitable[None]]  # called between two files; raises to stop


class Writing:
    """One attempt at an export; `give_way` is asked between files whether to stop for others."""

    def __init__(self, server: Server, caller: Caller, lease: Lease, job: Export, id: str, give_way: GiveWay) -> None:
        self.server, self.caller, self.lease, self.job, self.give_way = server, caller, lease, job, give_way
        self.folder = folder_of(server, id)
        self.out: Output | None = None
        self.kind = self.type = ""

    async def perform(self) -> None:
        """All that is left. Raises FhirError for what cannot be exported, Superseded if it is not ours any more."""
        job = self.job
        self.folder.mkdir(parents=True, exist_ok=True)
        await bring_back(self.server, self.folder)
        if not job.at:
            await self._begin()
        elif self._limited() and not (self.folder / MEMBERS).exists():
            raise refuse(500, "exception", "The server has lost whom this export is about: ask anew.")
        scope = Scope(self.server, self.caller, job, self.folder)
        parts = parts_of(job)
        job.written = sum(self._written(type) for kind, type in parts if kind == "output")
        try:
            while job.part < len(parts):
                self.kind, self.type = parts[job.part]
                job.here = self._written(self.type)
                await self._part(scope)
        finally:
            if self.out is not None:
                self.out.discard()
        await self.lease.renew()  # nobody may look for what is removed now
        await forget_notes(self.server, self.folder, self._outputs() if job.wish.organized else ())

    def _limited(self) -> bool:
        return self.job.wish.level == "group" or bool(self.job.wish.patients)

    async def _begin(self) -> None:
        """Fix the point in time, and whom the export is about: at once, so that who goes on has all of it or none."""
        server, wish = self.server, self.job.wish
        at = await server.store.settled()
        # What time alone permits by then, and rules that other processes made, must not be missed by the walk.
        while await renew_due(server):
            pass
        await server.consents.rules.fresh(server.store, at_once=True)
        if wish.level == "group":
            group = await read_group(server, self.caller, wish.group, at)
            known = await members(server, self.caller, group)
            write_members(self.folder, [id for id in known if not wish.patients or id in wish.patients])
        elif wish.patients:
            write_members(self.folder, wish.patients)
        if self._limited():
            await keep(server, self.folder, MEMBERS)
        totals = {type: await server.store.count(Query((type,), EVERYTHING)) for type in wish.types}
        stirred = {row.type async for row in versions_since(server, None, at)}
        job = self.job
        job.at, job.began, job.stirred = at, server.clock(), tuple(sorted(stirred))
        job.totals = {type: count for type, count in totals.items() if count}
        await self.lease.renew()

    async def _part(self, scope: Scope) -> None:
        """One type, or the deletions, or what was ignored."""
        if self.kind == "output":
            await self._output(scope)
        elif self.kind == "blocks":
            await self._blocks(scope)
        elif self.kind == "deleted":
            async for line, place in bundles_of_deleted(scope):
                self._file().write_line(line)
                if place is not None and self._full():
                    await self._close(place)
        else:
            for issue in self.job.passed:
                told = Issue(issue.code, issue.text, issue.at, issue.severity)
                self._file().write_line(codec.encode(operation_outcome([told])))
        if self.out is not None:
            await self._close(None, ends=True)
        else:
            self.job.part, self.job.place = self.job.part + 1, None

    async def _output(self, scope: Scope) -> None:
        if self.type not in self.job.totals and self.type not in self.job.stirred:
            return  # there was nothing when it began, and nothing had just gone
        asked, told = await scope.asked(self.type), _Told(self)
        elements = elements_of(self.job.wish, self.type)
        refs = bool(scope.referenced) and self.job.wish.level != "system"

        def whole() -> bool:
            plain = self.type != "Provenance" and scope.caller.partly is None
            return plain and not elements and not self.job.wish.organized

        walk = rows_at(self.server, asked, self.job.at, self.job.place, told, self._room, whole)
        async with aclosing(walk) as batches:
            async for batch in batches:
                count = await self._take(scope, batch, elements, refs)
                self.job.written += count
                self.job.here += count
                if self._full():
                    await self._close(batch.place)
                await asyncio.sleep(REST if self.server.requested.get(REQUESTED) else 0)

    async def _blocks(self, scope: Scope) -> None:
        """The files of one type each, made into files of persons."""
        kinds, partly = kinds_of(self.server.definitions, "patient"), scope.caller.partly
        names = partly.names if partly is not None else None
        for path in self.folder.glob("blocks.*"):  # of who died meanwhile
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
        root = self.folder / f"blocks.{secrets.token_hex(4)}"
        sorted = Sorted(self.folder, root, self._outputs(), kinds, self.server.settings.base, names)
        number, person, line = self.job.place or (0, 0, 0)
        try:
            await bring_back(self.server, self.folder, [file.name for file in self._outputs()])
            await asyncio.to_thread(sorted.sort)
            while number < sorted.count:
                for block in await asyncio.to_thread(list, sorted.blocks(number, person)):
                    await self._block(sorted, block, (number, person), line)
                    person, line = person + 1, 0
                number, person = number + 1, 0
        finally:
            sorted.remove()

    async def _block(self, sorted: Sorted, block: Block, place: tuple[int, int], first: int) -> None:
        """A block from its line `first` on: in one file, if it is not larger than a file."""
        most = self.server.settings.export_file
        if self.out is not None and (
            self.out.count + len(block.places) > most or self.out.size + block.size > MOST_BYTES
        ):
            await self._close((*place, 0))
        for number in range(first, len(block.places)):
            if self._full():
                await self._close((*place, number), continues=True)
            if self.out is None or number == first:
                self._file().write_line(header(block.person), counted=False)
            if number % PAUSE == 0:
                await asyncio.sleep(0)
            line = sorted.read(block.places[number])
            self._file().write_again(line.body, line.key, line.part, line.patients.encode().split(b","))

    def _outputs(self) -> list[File]:
        return [file for file in self.job.files if file.kind == "output"]

    async def _take(self, scope: Scope, batch: Batch, elements: Sequence[str], refs: bool) -> int:
        """Write a batch; returns how many resources."""
        if batch.lines is not None:
            if batch.lines.ids:
                self._file().write_lines(batch.lines, refs)
            return len(batch.lines.ids)
        rows = await self._chosen(scope, batch)
        if rows:
            shown = self._shown(scope.caller, rows, elements)
            self._file().write(rows, shown, refs)
            if self.job.wish.organized:
                self._file().persons += await self._persons(scope, rows, shown)
        return len(rows)

    async def _persons(self, scope: Scope, rows: list[Stored], shown: list[Stored]) -> list[str]:
        """What the file notes of each row: whose blocks it goes into, and whom it names (files.py)."""
        if self.type == "Provenance":
            found = await persons(scope, rows)
        else:
            found = []
            for number, (row, told) in enumerate(zip(rows, shown, strict=True), 1):
                found.append(scope.persons(row, told))
                if number % DECODED == 0:
                    await asyncio.sleep(0)
        return [f"{','.join(sorted(one.told))}\t{','.join(sorted(one.named))}" for one in found]

    def _shown(self, caller: Caller, rows: list[Stored], elements: Sequence[str]) -> list[Stored]:
        """The rows as the caller may have them, and wants them."""
        if caller.partly is not None:
            rows = [caller.shown(row) for row in rows]
        if not elements:
            return rows
        definitions = self.server.definitions
        return [row._replace(body=subset(definitions, row.body, None, elements)) for row in rows]

    async def _chosen(self, scope: Scope, batch: Batch) -> list[Stored]:
        """The rows of a page, of Provenance those that are about something exported."""
        if self.type != "Provenance":
            return batch.rows
        only = self.job.wish.associated
        rows = batch.rows if self.job.wish.level == "system" and not only else await about(scope, batch.rows)
        return await latest(scope, rows) if only == ("LatestProvenanceResources",) else rows

    def _written(self, type: str) -> int:
        return sum(file.count for file in self.job.files if (file.kind, file.type) == ("output", type))

    def _room(self, pending: int) -> int:
        """How many resources the file in hand, or the next, has room for beside those that are about to be written; few
        while requests come."""
        most = self.server.settings.export_file
        left = most - (self.out.count if self.out else 0) - pending
        return min(left if left > 0 else most, FEW if self.server.requested.get(REQUESTED) else most)

    def _full(self) -> bool:
        return self.out is not None and (
            self.out.count >= self.server.settings.export_file or self.out.size >= MOST_BYTES
        )

    def _file(self) -> Output:
        if self.out is None:
            name = f"{len(self.job.files) + 1}.{self.type}.ndjson"
            self.out = Output(self.folder, name, self.kind, self.type, self.server.settings.base)
        return self.out

    async def _close(self, place: Any, continues: bool = False, ends: bool = False) -> None:
        """The file is whole: note it, and where to go on. `ends`: it is the last of its part."""
        assert self.out is not None
        await self.lease.renew()  # whoever lost the export to another must not put a file in place of theirs
        finishing = asyncio.ensure_future(asyncio.to_thread(self.out.finish))
        try:
            file: File = await asyncio.shield(finishing)
        finally:  # a thread goes on when it is not waited for: whoever writes the file again must not meet it
            await asyncio.wait({finishing})
        self.out = None
        await keep_file(self.server, self.folder, file, self.job.wish.organized and file.kind == "output")
        # Whoever keeps the lease stores the job at any time: these belong together.
        self.job.files = [*self.job.files, replace(file, continues=continues)]
        self.job.part, self.job.place = self.job.part + ends, place
        await self.lease.renew()
        await self.give_way()


class _Told:
    """The ids of the type in hand that were written (rows.Told)."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing

    def among(self, ids: Iterable[str]) -> set[str]:
        wanted = set(ids)
        return {id for some in self._lists() for id in wanted.intersection(some)}

    def all(self) -> set[str]:
        return {id for some in self._lists() for id in some}

    def _lists(self) -> Iterable[list[str]]:
        writing = self._writing
        files = [one for one in writing.job.files if (one.kind, one.type) == (writing.kind, writing.type)]
        yield from notes(writing.folder, files, "ids")
        if writing.out is not None:
            yield writing.out.ids


def parts_of(job: Export) -> list[tuple[str, str]]:
    """What is written, in order: kind and type of the files."""
    parts = [("output", type) for type in job.wish.types]
    if job.wish.since is not None:
        parts.append(("deleted", "Bundle"))
    if job.passed:  # it is on all pages of a manifest that comes in pages: then it is first
        parts.insert(0 if job.wish.partial else len(parts), ("error", "OperationOutcome"))
    if job.wish.organized:
        parts.append(("blocks", "Patient"))
    return parts
