"""What a search needs to know before it can be parsed: expansions and hierarchies, from the store and from R4. https://hl7.org/fhir/R4/search.html#modifiers"""

from typing import Literal, cast

from fhir_server.access import Caller, restrict
from fhir_server.fhir import codec
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Pairs
from fhir_server.interactions.canonicals import Canonicals, indexed
from fhir_server.interactions.conditional import Find
from fhir_server.search.known import Members, Needed, Wanted
from fhir_server.search.parse import parse_search
from fhir_server.search.predicate import ID, Is, Param
from fhir_server.search.query import Search
from fhir_server.server import Server
from fhir_server.store.seam import Query, Stored
from fhir_server.terminology.expand import MOST_CODES, hierarchy, members
from fhir_server.terminology.system import Imported

MOST_QUESTIONS = 20  # of one search
KEPT = 600.0  # seconds that the codes above or below one stay in memory
HIERARCHIES = {"Location": "partof", "Organization": "partof", "Encounter": "part-of", "Task": "part-of"}


async def parsed(
    server: Server, caller: Caller, find: Find, type: str | None, pairs: Pairs, lenient: bool, now: int
) -> Search:
    """The search that the pairs ask for, with value sets and hierarchies looked up under the caller's permit.

    Raises FhirError 400: what cannot be searched, and sets that are unknown, too large or not expandable.
    """
    known: dict[Wanted, Members] = {}
    while True:
        try:
            return parse_search(server.definitions, type, pairs, lenient, now, server.settings.base, known)
        except Needed as needed:
            if len(known) == MOST_QUESTIONS:
                raise refuse(400, "too-costly", f"A search takes at most {MOST_QUESTIONS} value sets.") from None
            known[needed.wanted] = await _answer(server, caller, find, needed.wanted)


async def _answer(server: Server, caller: Caller, find: Find, wanted: Wanted) -> Members:
    if wanted.type:
        return await _tree(server, caller, find, wanted)
    source = Canonicals(server, caller, find)
    if wanted.relation == "in":
        return await members(source, wanted.text)
    return await _related(server, source, wanted)


async def _related(server: Server, source: Canonicals, wanted: Wanted) -> Members:
    """The codes above or below one. Of an imported edition they never change: the last lists are kept."""
    url, _, code = wanted.text.partition("|")
    system = await source.system(url)
    key = (wanted.relation, code, system.edition) if isinstance(system, Imported) else None
    found: Members | None = server.lists.get(key) if key else None
    if found is None:
        found = await hierarchy(source, url, code, cast(Literal["above", "below"], wanted.relation))
        if key:
            server.lists.put(key, found, KEPT)
    return found


async def _tree(server: Server, caller: Caller, find: Find, wanted: Wanted) -> Members:
    """A resource with all that are part of it, or that it is part of, however many steps away."""
    relation, id, type = wanted
    if type not in HIERARCHIES:
        known = ", ".join(sorted(HIERARCHIES))
        raise refuse(400, "not-supported", f"Modifier {relation!r}: {type} has no hierarchy here; these have: {known}.")
    param = indexed(server, type, HIERARCHIES[type])
    found = {(type, id)}
    edge = [(type, id)]
    while edge:
        where = Is(param, (("type,id", "in", tuple(edge)),))
        if relation == "above":
            where = Is(ID, (("id", "in", tuple((one,) for _, one in edge)),))
        rows = (await find(Query((type,), restrict(where, caller, (type,)), count=MOST_CODES + 1))).rows
        reached = {(row.type, row.id) for row in rows} if relation == "below" else _parents(server, rows, param)
        edge = sorted(pair for pair in reached - found if pair[0] == type)
        found.update(edge)
        if len(found) > MOST_CODES:
            raise refuse(400, "too-costly", f"More than {MOST_CODES} resources are {relation} {type}/{id}.")
    return Members(tuple(sorted(found)))


def _parents(server: Server, rows: list[Stored], param: Param) -> set[tuple[str, str]]:
    entries = [entry for row in rows for entry in server.index(codec.decode(row.body))]
    return {(entry[1], entry[2]) for entry in entries if entry[0] == param and entry[2]}
