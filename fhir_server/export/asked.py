"""Which resources of each type an export holds: its patients, its filters and its caller's permit as predicates."""

import secrets
from collections.abc import Iterable, Sequence, Set
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from fhir_server.access import OPERATOR, Caller
from fhir_server.access.asking import caller_for, requests_of
from fhir_server.access.subjects import patients_in, patients_of, person_types
from fhir_server.export.files import keep, notes
from fhir_server.export.job import Export
from fhir_server.export.members import belonging_to, kinds_of, with_ids
from fhir_server.export.past import Past
from fhir_server.export.rows import Again, Asked, as_of, judged, permitted
from fhir_server.export.wish import Wish
from fhir_server.fhir import codec
from fhir_server.interactions.job_run import NOBODY
from fhir_server.interactions.lookup import parsed
from fhir_server.search.predicate import EVERYTHING, NOTHING, UPDATED, And, Is, Or, Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Query, Stored

BATCH = 500  # ids in one predicate: a Group of 200,000 members must not become one
MEMBERS, TOUCHED = "members", "touched"


def write_members(folder: Path, ids: Sequence[str]) -> None:
    """Keep whom an export is about."""
    _write(folder / MEMBERS, ids)


class Persons(NamedTuple):
    """Whose blocks a resource goes into, by the ids that are told; the true ids of these, and of all whom it names."""

    told: Set[str]
    named: Set[str]


class Scope:
    """What an export is about, as one who goes on with it finds it in its folder."""

    def __init__(self, server: Server, caller: Caller, job: Export, folder: Path) -> None:
        self.server, self.caller, self.job, self.wish, self.folder = server, caller, job, job.wish, folder
        kinds = kinds_of(server.definitions, job.wish.level)
        self.referenced, self.last = frozenset(kinds.referenced), frozenset(kinds.last)
        # What belongs to nobody is in no block: it is not exported, and what comes to belong to nobody has gone.
        self._of_persons = frozenset(kinds_of(server.definitions, "patient").first if job.wish.organized else ())
        path = folder / MEMBERS
        self.patients = path.read_text().splitlines() if path.exists() else None
        self._all = frozenset(self.patients) if self.patients is not None else None
        self._known = 0
        self._past: Past | None = None
        self._touched: list[str] = []

    async def asked(self, type: str, changed: bool = True) -> Asked:
        """The resources of a type; `changed`: only those that were changed when the client wants to know of changes,
        and all that Consents permit otherwise than before."""
        await self.refresh()
        filters = await filtered(self.server, self.caller, self.wish, type, self.job.at)
        conditions = list(filters)
        if changed and self.wish.since is not None:
            conditions.append(Is(UPDATED, (("low", ">", self.wish.since),)))
        if changed and self.wish.until is not None:
            conditions.append(Is(UPDATED, (("low", "<", self.wish.until),)))
        members, whole = self._members(type)
        batches = [_all([one, *conditions]) for one in members]
        # What a caller may have in part belongs to some patient; that it does is nothing that they ask. When it was
        # changed would tell its dates: it comes whole each time.
        open = self.patients is None and type not in self.referenced
        in_part = _all(filters if self.wish.until is None else conditions) if open else None
        asked = Asked(type, batches, _all([whole, *conditions]), partial(self._permitted, type, in_part))
        return asked._replace(again=await self._again(type, whole, filters)) if changed else asked

    async def _again(self, type: str, whole: Predicate, filters: list[Predicate]) -> Again | None:
        """What was not changed, of persons whose Consents say another thing than before."""
        past = await self.past()
        if past is None or type not in person_types(self.server.definitions):
            return None
        since = self.wish.since
        unchanged = [*filters, Is(UPDATED, (("low", "<=", since),))]
        batches = [
            _all([belonging_to(self.server.definitions, type, some), *unchanged]) for some in _cut(self._touched)
        ]
        return Again(
            batches, _all([whole, *unchanged]), partial(self._permitted, type, NOTHING), frozenset(self._touched)
        )

    def _permitted(self, type: str, in_part: Predicate | None, where: Predicate) -> Predicate:
        return permitted(self.caller, type, where, in_part)

    async def refresh(self, at_once: bool = False) -> None:
        """Hold the caller to what is permitted now, by rules that became known meanwhile too."""
        rules = self.server.consents.rules
        await rules.fresh(self.server.store, at_once)
        if self.job.caller != OPERATOR.id and self._known != rules.known:
            self.caller = await caller_for(self.server, self.job.grant or NOBODY)
            self._known = rules.known

    async def past(self) -> Past | None:
        """What Consents said since the client's last export; None if it does not ask, or is not asked for consent."""
        grant, since, until = self.job.grant, self.wish.since, self.wish.until
        if grant is None or since is None or self._past is not None:
            return self._past
        if requests_of(grant, frozenset(), self.server.consents.treatment) is not None:
            self._past = Past(self.server, since, min(self.job.at, self.job.at if until is None else until - 1))
            await self._past.look()
            self._touched = await self._kept(self._past.touched)
        return self._past

    async def _kept(self, touched: Iterable[str]) -> list[str]:
        """Those who were found touched first, for whoever goes on: they are told again in these batches."""
        path = self.folder / TOUCHED
        if not path.exists():
            _write(path, sorted(touched))
            await keep(self.server, self.folder, TOUCHED)
        return path.read_text().splitlines()

    async def names_before(self, asked: Asked, row: Stored) -> set[str]:
        """The ids under which the client may have had a version since its last export; of `asked` for all times."""
        past = await self.past()
        if past is None:
            return {self.caller.shown(one).id for one in (await judged(self.server, asked, row),) if one is not None}
        numbers = await past.rules_of(row)
        await self.refresh()
        told = [await judged(self.server, asked, row, number) for number in numbers]
        return {self.caller.shown(one).id for one in told if one is not None}

    async def written_as(self, type: str, ids: Iterable[str]) -> dict[str, str]:
        """Of some resources those that the files of this export hold, by the id that they have there. Only where
        Consents decide: elsewhere what is held now tells it."""
        found: dict[str, str] = {}
        if await self.past() is None:
            return found
        files = [file for file in self.job.files if (file.kind, file.type) == ("output", type)]
        wanted = set(ids)
        for held, parts in zip(notes(self.folder, files, "ids"), notes(self.folder, files, "parts"), strict=True):
            given = wanted.intersection(held)
            renamed = given.intersection(line[3:] for line in parts if line.startswith("id "))
            names = self.caller.partly.names if self.caller.partly is not None else None
            found |= {id: names.name(type, id) if names is not None and id in renamed else id for id in given}
        return found

    def persons(self, row: Stored, told: Stored) -> Persons:
        """Whose blocks a resource goes into that is told so."""
        definitions = self.server.definitions
        about = patients_of(definitions, row.type, row.id, self.server.index(codec.decode(row.body)))
        ids = about if self._all is None else about & self._all
        if told.id != row.id and self.caller.partly is not None:
            ids = {self.caller.partly.names.name("Patient", id) for id in ids}
        return Persons(set(ids), about | patients_in(row.body))

    def _members(self, type: str) -> tuple[list[Predicate], Predicate]:
        """What makes a resource one of the export, in batches and as one."""
        definitions = self.server.definitions
        if type in self.last or (self.wish.level == "system" and type not in self._of_persons):
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

    async def holding(self, type: str, ids: Sequence[str]) -> list[Stored]:
        """Of some ids of a type what the export is about, whenever it was changed."""
        if type in self.referenced or type not in self.wish.types:
            return []
        asked = await self.asked(type, changed=False)
        where = permitted(self.caller, type, with_ids(ids))
        rows = (await self.server.store.search(Query((type,), where, count=len(ids)))).rows
        at = self.job.at
        then = [row if row.updated <= at else await as_of(self.server, type, row.id, at) for row in rows]
        found = [await judged(self.server, asked, row) for row in then if row is not None and not row.deleted]
        return [row for row in found if row is not None]


async def filtered(server: Server, caller: Caller, wish: Wish, type: str, now: int) -> list[Predicate]:
    """What `_typeFilter` asks of a type, nothing if it is silent. Raises FhirError 400 for what cannot be searched."""
    queries = [one for one in wish.filters if one.type == type]
    found = [(await parsed(server, caller, server.store.search, type, one.pairs, False, now)).where for one in queries]
    return [found[0] if len(found) == 1 else Or(tuple(found))] if found else []


def _write(path: Path, ids: Sequence[str]) -> None:
    """Whole, or not at all."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    part.write_text("".join(f"{id}\n" for id in ids))
    part.replace(path)


def _all(parts: list[Predicate]) -> Predicate:
    told = [part for part in parts if part != EVERYTHING]
    return told[0] if len(told) == 1 else And(tuple(told))


def _cut(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
