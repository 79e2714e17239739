"""The resources that `_include` and `_revinclude` add to a page. https://hl7.org/fhir/R4/search.html#include"""

from collections.abc import Iterator, Sequence

from fhir_server.access import READ, Caller, restrict
from fhir_server.fhir import codec
from fhir_server.interactions.conditional import Find
from fhir_server.search.include import forward, reverse
from fhir_server.search.predicate import ID, Is
from fhir_server.search.query import Include
from fhir_server.server import Server
from fhir_server.store.seam import Query, Stored

CHUNK = 100  # resources fetched by id in one query

Key = tuple[str, str]


async def included(
    server: Server, caller: Caller, includes: Sequence[Include], matches: Sequence[Stored], find: Find
) -> tuple[list[Stored], bool]:
    """What is added to a page of matches, each once and under the caller's permit; and whether the limit cut it short.

    With `:iterate` an include is followed from what was added too.
    """
    limit = server.settings.max_includes
    seen = {(row.type, row.id) for row in matches}
    added: list[Stored] = []
    sources: Sequence[Stored] = matches
    while sources and includes:
        found: list[Stored] = []
        for query, letter in _queries(server, includes, sources, seen, limit + 1):
            rows = (await find(query._replace(where=restrict(query.where, caller, query.types, letter)))).rows
            for row in rows:
                if (row.type, row.id) not in seen:
                    seen.add((row.type, row.id))
                    found.append(row)
            if len(added) + len(found) > limit:
                return [*added, *found][:limit], True
        added += found
        sources, includes = found, [include for include in includes if include.iterate]
    return added, False


def _queries(
    server: Server, includes: Sequence[Include], sources: Sequence[Stored], seen: set[Key], count: int
) -> Iterator[tuple[Query, str]]:
    """What to ask, and the right that it takes: what is referred to is read, who refers is searched."""
    ids: dict[str, list[str]] = {}
    if any(not include.reverse for include in includes):
        indexed = ((row.type, server.index(codec.decode(row.body))) for row in sources)
        for type_, id in forward(server.definitions, includes, indexed):
            if (type_, id) not in seen:
                ids.setdefault(type_, []).append(id)
    for type_, wanted in ids.items():
        for at in range(0, len(wanted), CHUNK):
            where = Is(ID, (("id", "in", tuple((id,) for id in wanted[at : at + CHUNK])),))
            yield Query((type_,), where, count=CHUNK), READ
    if any(include.reverse for include in includes):
        for type_, wanted_by in reverse(server.definitions, includes, [(row.type, row.id) for row in sources]):
            yield Query((type_,), wanted_by, count=count), "s"
