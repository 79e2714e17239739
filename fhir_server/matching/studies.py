"""The studies of the store with their criteria compiled; each compilation is kept until a resource of it changes.

What is kept is keyed by the stored bytes themselves, so that it can be forgotten at any time and is never out of date.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from fhir_server.fhir import codec
from fhir_server.fhir.references import parse
from fhir_server.matching.criteria import DEPTH, Study, compile_study, group_references
from fhir_server.search.predicate import EVERYTHING, ID, Is, Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Query, Stored
from fhir_server.terminology.codes import Terminology

KEPT = 8192
CHUNK = 500  # Groups fetched by id in one query

Groups = tuple[tuple[str, str, bytes, int], ...]  # reference as written, id, body, version


class Registered(NamedTuple):
    """A study ready to be matched, and as it is stored."""

    study: Study
    stored: Stored


async def read_studies(server: Server, where: Predicate = EVERYTHING) -> list[Registered]:
    """The studies that match, in order of creation."""
    rows = [row async for row in server.store.scan(Query(("ResearchStudy",), where))]
    groups = await _groups(server, rows)
    terminology, base = server.terminology, server.settings.base
    return [
        Registered(_compiled(terminology, row.body, row.version, _used(row.body, groups, base)), row) for row in rows
    ]


async def _groups(server: Server, studies: Iterable[Stored]) -> Mapping[str, Stored]:
    """Every Group that active studies refer to, directly or through other Groups, by id."""
    found: dict[str, Stored] = {}
    wanted = _ids((row.body for row in studies), server.settings.base)
    for _ in range(DEPTH + 1):
        new = [id for id in wanted if id not in found]
        if not new:
            break
        rows: list[Stored] = []
        for at in range(0, len(new), CHUNK):
            where = Is(ID, (("id", "in", tuple((id,) for id in new[at : at + CHUNK])),))
            rows += [row async for row in server.store.scan(Query(("Group",), where))]
        found.update((row.id, row) for row in rows)
        wanted = _ids((row.body for row in rows), server.settings.base)
    return found


def _ids(bodies: Iterable[bytes], base: str) -> dict[str, None]:
    return {id: None for body in bodies for _, id in _references(body, base)}


@lru_cache(maxsize=KEPT)
def _references(body: bytes, base: str) -> tuple[tuple[str, str], ...]:
    """The Groups that a Group or an active study refers to: each reference as written, and the id."""
    resource = codec.decode(body)
    if resource["resourceType"] == "ResearchStudy" and resource.get("status") != "active":
        return ()
    parsed = ((text, parse(text, base)) for text in group_references(resource))
    return tuple((text, target.id) for text, target in parsed if target.type == "Group")


def _used(body: bytes, groups: Mapping[str, Stored], base: str) -> Groups:
    """What a study's compilation rests on besides the study."""
    used: dict[str, tuple[str, str, bytes, int]] = {}
    open_ = list(_references(body, base))
    while open_:
        text, id = open_.pop()
        row = groups.get(id)
        if row is not None and text not in used:
            used[text] = text, id, row.body, row.version
            open_ += _references(row.body, base)
    return tuple(sorted(used.values()))


@lru_cache(maxsize=KEPT)
def _compiled(terminology: Terminology, body: bytes, version: int, groups: Groups) -> Study:
    decoded = {text: (codec.decode(group), number) for text, _, group, number in groups}
    return compile_study(codec.decode(body), version, decoded.get, terminology)
