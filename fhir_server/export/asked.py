"""Which resources of each type an export holds: its patients, its filters and its caller's permit as predicates."""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from fhir_server.access import Caller
from fhir_server.export.files import notes
from fhir_server.export.job import Export
from fhir_server.export.members import belonging_to, kinds_of, with_ids
from fhir_server.export.rows import Asked, judged, permitted
from fhir_server.export.wish import Wish
from fhir_server.interactions.lookup import parsed
from fhir_server.search.predicate import EVERYTHING, UPDATED, And, Is, Or, Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Query

BATCH = 500  # ids in one predicate: a Group of 200,000 members must not become one
MEMBERS = "members"


def write_members(folder: Path, ids: Sequence[str]) -> None:
    """Keep whom an export is about."""
    (folder / MEMBERS).write_text("".join(f"{id}\n" for id in ids))


class Scope:
    """What an export is about, as one who goes on with it finds it in its folder."""

    def __init__(self, server: Server, caller: Caller, job: Export, folder: Path) -> None:
        self.server, self.caller, self.job, self.wish, self.folder = server, caller, job, job.wish, folder
        kinds = kinds_of(server.definitions, job.wish.level)
        self.referenced, self.last = frozenset(kinds.referenced), frozenset(kinds.last)
        path = folder / MEMBERS
        self.patients = path.read_text().splitlines() if path.exists() else None
        self._all = frozenset(self.patients) if self.patients is not None else None

    async def asked(self, type: str, changed: bool = True) -> Asked:
        """The resources of a type; `changed`: only those that were changed when the client wants to know of changes."""
        await self.server.consents.rules.fresh(self.server.store)
        conditions = await filtered(self.server, self.caller, self.wish, type, self.job.at)
        if changed and self.wish.since is not None:
            conditions.append(Is(UPDATED, (("low", ">", self.wish.since),)))
        if changed and self.wish.until is not None:
            conditions.append(Is(UPDATED, (("low", "<", self.wish.until),)))
        members, whole = self._members(type)
        batches = [_all([one, *conditions]) for one in members]
        # What a caller may have in part belongs to some patient; that it does is nothing that they ask.
        in_part = _all(conditions) if self.wish.level == "patient" and self.patients is None else None
        permit = partial(permitted, self.caller, type, in_part=in_part)
        return Asked(type, batches, _all([whole, *conditions]), permit)

    def _members(self, type: str) -> tuple[list[Predicate], Predicate]:
        """What makes a resource one of the export, in batches and as one."""
        definitions = self.server.definitions
        if self.wish.level == "system" or type in self.last:
            return [EVERYTHING], EVERYTHING
        if type in self.referenced:
            ids = self._referred(type)
            return [with_ids(some) for some in _cut(ids)], with_ids(frozenset(ids))
        if self.patients is None:
            every = belonging_to(definitions, type, None)
            return [every], every
        batches = [belonging_to(definitions, type, some) for some in _cut(self.patients)]
        return batches, belonging_to(definitions, type, self._all)

    def _referred(self, type: str) -> list[str]:
        """The ids of a type that the finished files refer to."""
        files = [file for file in self.job.files if file.kind == "output" and file.type != type]
        found = chain.from_iterable(notes(self.folder, files, "refs"))
        return sorted({ref.split("/")[1] for ref in found if ref.startswith(f"{type}/")})

    async def holding(self, type: str, ids: Sequence[str]) -> set[str]:
        """Of some ids of a type, those that the export is about, whenever they were changed."""
        if type in self.referenced or type not in self.wish.types:
            return set()
        asked = await self.asked(type, changed=False)
        where = permitted(self.caller, type, with_ids(ids))
        rows = (await self.server.store.search(Query((type,), where, count=len(ids)))).rows
        return {row.id for row in rows if await judged(self.server, asked, row)}


async def filtered(server: Server, caller: Caller, wish: Wish, type: str, now: int) -> list[Predicate]:
    """What `_typeFilter` asks of a type, nothing if it is silent. Raises FhirError 400 for what cannot be searched."""
    queries = [one for one in wish.filters if one.type == type]
    found = [(await parsed(server, caller, server.store.search, type, one.pairs, False, now)).where for one in queries]
    return [found[0] if len(found) == 1 else Or(tuple(found))] if found else []


def _all(parts: list[Predicate]) -> Predicate:
    told = [part for part in parts if part != EVERYTHING]
    return told[0] if len(told) == 1 else And(tuple(told))


def _cut(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
