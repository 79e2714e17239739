"""The studies of the store with their criteria compiled; each compilation is kept until a resource of it changes.

What is kept is compared with the stored bytes at each use, so that it can be forgotten at any time and is never out of
date. All of them together are kept until a transaction has written a ResearchStudy or a Group: each such transaction
writes one of a few marks (State `match/studies/N`), so that to compare these is enough, whatever process wrote.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import randrange
from secrets import token_bytes
from typing import NamedTuple
from weakref import WeakKeyDictionary

from fhir_server.fhir import codec
from fhir_server.fhir.references import parse
from fhir_server.matching.criteria import DEPTH, Study, compile_study, group_references
from fhir_server.search.index import param_of
from fhir_server.search.predicate import EVERYTHING, ID, Is, Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Query, Store, Stored, Tx
from fhir_server.terminology.codes import Terminology

KEPT = 8192
CHUNK = 500  # Groups fetched by id in one query

MARKS, PLACES = "match/studies/", 16  # two writers seldom touch the same mark
DESCRIBING = ("ResearchStudy", "Group")
RECRUITING = Is(param_of("status", "token"), (("code", "=", "active"),))

Used = dict[str, tuple[str, Stored | None]]  # Groups by reference as written: the id, and the row if there is one


class _Compiled(NamedTuple):
    """A compiled study, and all that it rests on."""

    row: Stored
    used: Used
    terminology: Terminology
    study: Study


References = tuple[tuple[str, str], ...]  # to Groups: as written, and the id


class _All(NamedTuple):
    """All studies, as they stood at these marks."""

    marks: list[tuple[str, bytes]]
    terminology: Terminology
    base: str
    studies: list["Registered"]


@dataclass
class Kept:
    """What is kept of a store: studies by id, and what rows refer to by type and id."""

    studies: dict[str, _Compiled]
    references: dict[tuple[str, str], tuple[Stored, References]]
    every: _All | None = None


_kept: WeakKeyDictionary[Store, Kept] = WeakKeyDictionary()


class Registered(NamedTuple):
    """A study ready to be matched, and as it is stored."""

    study: Study
    stored: Stored


async def read_studies(server: Server, where: Predicate = EVERYTHING) -> list[Registered]:
    """The studies that match, in order of creation."""
    if where not in (EVERYTHING, RECRUITING):
        return await _read(server, where)
    found = await _every(server)
    return found if where == EVERYTHING else [one for one in found if one.study.active]


async def mark(tx: Tx) -> None:
    """To be called in each transaction that writes, or removes for good, a ResearchStudy or a Group."""
    key = f"{MARKS}{randrange(PLACES):02}"
    before = await tx.get_state(key)
    await tx.put_state(key, token_bytes(16), before[1] if before else 0)


async def _every(server: Server) -> list[Registered]:
    """The marks are read first: what is written meanwhile leaves another."""
    kept = _kept.setdefault(server.store, Kept({}, {}))
    marks = await server.store.list_state(MARKS, PLACES)
    now, base = kept.every, server.settings.base
    if now is None or (now.marks, now.base) != (marks, base) or now.terminology is not server.terminology:
        now = _All(marks, server.terminology, base, await _read(server, EVERYTHING))
        kept.every = now if len(now.studies) <= KEPT else None
    return now.studies


async def _read(server: Server, where: Predicate) -> list[Registered]:
    rows = [row async for row in server.store.scan(Query(("ResearchStudy",), where))]
    terminology, base, kept = server.terminology, server.settings.base, _kept.setdefault(server.store, Kept({}, {}))
    groups = await _groups(server, rows, kept)
    return [Registered(_compiled(terminology, base, row, groups, kept), row) for row in rows]


async def read_group(server: Server, id: str) -> Study:
    """The criteria of one Group, as those of a study that enrols it alone would be read."""
    study = {
        "resourceType": "ResearchStudy",
        "id": "-",
        "status": "active",
        "enrollment": [{"reference": f"Group/{id}"}],
    }
    row = Stored("ResearchStudy", "-", 1, 0, "PUT", codec.encode(study))
    kept = Kept({}, {})
    groups = await _groups(server, [row], kept)
    return _compiled(server.terminology, server.settings.base, row, groups, kept)


async def _groups(server: Server, studies: Iterable[Stored], kept: Kept) -> Mapping[str, Stored]:
    """Every Group that active studies refer to, directly or through other Groups, by id."""
    found: dict[str, Stored] = {}
    wanted = _ids(studies, server.settings.base, kept)
    for _ in range(DEPTH + 1):
        new = [id for id in wanted if id not in found]
        if not new:
            break
        rows: list[Stored] = []
        for at in range(0, len(new), CHUNK):
            where = Is(ID, (("id", "in", tuple((id,) for id in new[at : at + CHUNK])),))
            rows += [row async for row in server.store.scan(Query(("Group",), where))]
        found.update((row.id, row) for row in rows)
        wanted = _ids(rows, server.settings.base, kept)
    return found


def _ids(rows: Iterable[Stored], base: str, kept: Kept) -> dict[str, None]:
    return {id: None for row in rows for _, id in _references(row, base, kept)}


def _references(row: Stored, base: str, kept: Kept) -> References:
    """The Groups that a Group or an active study refers to."""
    before = kept.references.get((row.type, row.id))
    if before is not None and _same(before[0], row):
        return before[1]
    resource = codec.decode(row.body)
    found: References = ()
    if row.type != "ResearchStudy" or resource.get("status") == "active":
        parsed = ((text, parse(text, base)) for text in group_references(resource))
        found = tuple((text, target.id) for text, target in parsed if target.type == "Group")
    if len(kept.references) >= 2 * KEPT:
        kept.references.clear()
    kept.references[row.type, row.id] = row, found
    return found


def _used(row: Stored, groups: Mapping[str, Stored], base: str, kept: Kept) -> Used:
    """Every Group that a study's compilation rests on, None for one that is not there."""
    used: Used = {}
    open_ = list(_references(row, base, kept))
    while open_:
        text, id = open_.pop()
        if text not in used:
            group = groups.get(id)
            used[text] = id, group
            open_ += _references(group, base, kept) if group is not None else ()
    return used


def _compiled(terminology: Terminology, base: str, row: Stored, groups: Mapping[str, Stored], kept: Kept) -> Study:
    """A study compiled; kept until it, a Group that it rests on or the terminology is another."""
    before = kept.studies.get(row.id)
    if (
        before is not None
        and before.terminology is terminology
        and _same(before.row, row)
        and all(_same(held, groups.get(id)) for id, held in before.used.values())
    ):
        return before.study
    used = _used(row, groups, base, kept)
    decoded = {text: (codec.decode(one.body), one.version) for text, (_, one) in used.items() if one is not None}
    study = compile_study(codec.decode(row.body), row.version, decoded.get, terminology)
    if len(kept.studies) >= KEPT:
        kept.studies.clear()
    kept.studies[row.id] = _Compiled(row, used, terminology, study)
    return study


def _same(one: Stored | None, other: Stored | None) -> bool:
    """Whether two rows hold the same bytes: to compare them is cheaper than to look them up by what they hold."""
    if one is None or other is None:
        return one is other
    return one.version == other.version and one.body == other.body
