"""Is an old version the caller's to see? It is judged as it was then, by today's rights. https://hl7.org/fhir/R4/http.html#history

The store has matched the resource as it is now. A version that named another patient, or had another category, must be
looked at for itself; only its own index entries are computed anew, what it refers to is asked of the store.
"""

from collections.abc import Sequence

from fhir_server.access import Caller, permitted
from fhir_server.access.judging import rule_today
from fhir_server.fhir import codec
from fhir_server.search.predicate import (
    EVERYTHING,
    And,
    Chain,
    Has,
    Indexed,
    Is,
    Not,
    Of,
    Or,
    Predicate,
    entries_of,
    matches,
)
from fhir_server.server import Server
from fhir_server.store.seam import Query, Stored


async def visible_versions(server: Server, caller: Caller, rows: Sequence[Stored], letter: str) -> list[Stored]:
    """Those of the versions that the caller may see, in their order."""
    if caller.free:
        return list(rows)
    return [row for row in rows if await was_visible(server, caller, row, letter)]


async def was_visible(server: Server, caller: Caller, row: Stored, letter: str) -> bool:
    """Whether this version itself lies within the caller's rights; a deletion says nothing, so it does."""
    if row.deleted or permitted(caller, (row.type,), letter) == EVERYTHING:
        return True
    ruling = await rule_today(server.store, server.consents, row.type, row.id, row.body)
    entries = server.index(codec.decode(row.body))
    permit = permitted(caller, (row.type,), letter)  # the rule may have been one that nobody had asked about
    return await holds(server, permit, Indexed(row.type, row.id, row.updated, entries, *ruling))


async def holds(server: Server, where: Predicate, row: Indexed) -> bool:
    """Whether a version meets a condition: `predicate.matches`, with the store for a world."""
    match where:
        case Is():
            return matches(where, row, {})
        case And(parts):
            return all([await holds(server, part, row) for part in parts])
        case Or(parts):
            return any([await holds(server, part, row) for part in parts])
        case Not(part):
            return not await holds(server, part, row)
        case Of(types, part):
            return row.type in types and await holds(server, part, row)
        case Chain(param, type, inner):
            targets = [entry[2] for entry in entries_of(row, param) if entry[1] == type]
            return any([await _found(server, type, id, inner) for id in targets])
        case Has(type, param, inner):
            here = Is(param, (("type", "=", row.type), ("id", "=", row.id)))
            return bool((await server.store.search(Query((type,), And((here, inner)), count=1))).rows)


async def _found(server: Server, type: str, id: str, where: Predicate) -> bool:
    stored = await server.store.read(type, id, where)
    return stored is not None and not stored.deleted
