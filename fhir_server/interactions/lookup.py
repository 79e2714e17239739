"""What a search needs to know before it can be parsed: expansions and hierarchies, from the store and from R4. https://hl7.org/fhir/R4/search.html#modifiers"""

from collections.abc import Mapping
from functools import cache
from typing import Literal, cast

from fhir_server.access import Caller, restrict
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.data import data_path
from fhir_server.fhir.definitions import Definitions
from fhir_server.fhir.outcome import refuse
from fhir_server.fhir.references import canonical, parse
from fhir_server.interactions.ask import Pairs
from fhir_server.interactions.conditional import Find
from fhir_server.search.context import stand_ins
from fhir_server.search.index import param_of
from fhir_server.search.known import Members, Needed, Wanted
from fhir_server.search.parse import parse_search
from fhir_server.search.predicate import ID, And, Is, Param, Predicate
from fhir_server.search.query import Search
from fhir_server.server import Server
from fhir_server.store.seam import Query, Stored
from fhir_server.terminology.expand import MOST_CODES, Absent, Kind, System, expand, hierarchy, system_of

MOST_QUESTIONS = 20  # of one search
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
    library: dict[tuple[Kind, str], Resource | Members | System | None] = {}
    while True:
        try:
            if wanted.relation == "in":
                return expand(library, wanted.text)
            system, _, code = wanted.text.partition("|")
            return hierarchy(library, system, code, cast(Literal["above", "below"], wanted.relation))
        except Absent as absent:
            kind, url = absent.wanted
            library[kind, url] = await _definition(server, caller, find, kind, url)


async def _definition(
    server: Server, caller: Caller, find: Find, kind: Kind, url: str
) -> Resource | Members | System | None:
    """A ValueSet or CodeSystem: the one in the store first, then what ships with the server, then R4's own codes."""
    name, version = canonical(url)
    local = parse(name, server.settings.base)
    where: Predicate = Is(ID, (("id", "=", local.id),))
    if not (local.local and local.type == kind):
        where = Is(_indexed(server, kind, "url"), (("uri", "=", name),))
        if version:
            where = And((where, Is(_indexed(server, kind, "version"), (("code", "=", version),))))
    rows = (await find(Query((kind,), restrict(where, caller, (kind,)), count=100))).rows
    if rows:
        resource = max((codec.decode(row.body) for row in rows), key=_preference)
        return system_of(resource) if kind == "CodeSystem" else resource
    if kind == "ValueSet":
        return _shipped().get(name) or _bound(server.definitions).get(name)
    return System(server.terminology, complete=False) if name in server.terminology.loaded else None


def _indexed(server: Server, type: str, code: str) -> Param:
    """The parameter under which the values of `code` are indexed: R4's CodeSystem has `url` and `system` for one."""
    (param,), _ = stand_ins(server.definitions, server.definitions.search[type][code])
    return param_of(param.code, param.kind)


def _preference(resource: Resource) -> tuple[bool, str, str]:
    return resource.get("status") == "active", str(resource.get("date", "")), resource["meta"]["lastUpdated"]


@cache
def _shipped() -> Mapping[str, Resource]:
    """The ValueSets that ship with the server, by URL."""
    paths = [*data_path("terminology").glob("ValueSet-*.json"), *data_path("profiles").glob("*/ValueSet-*.json")]
    return {resource["url"]: resource for resource in (codec.decode(path.read_bytes()) for path in sorted(paths))}


_sets: dict[int, Mapping[str, Members]] = {}


def _bound(definitions: Definitions) -> Mapping[str, Members]:
    """The value sets of R4's required bindings that R4 enumerates."""
    if id(definitions.structures) not in _sets:
        bindings = [
            element.binding
            for structure in definitions.structures.values()
            for element in structure.elements.values()
            if element.binding is not None and element.binding.codes is not None
        ]
        _sets[id(definitions.structures)] = {
            binding.valueset: Members(tuple(sorted((system, code) for code, system in binding.systems.items())))
            for binding in bindings
        }
    return _sets[id(definitions.structures)]


async def _tree(server: Server, caller: Caller, find: Find, wanted: Wanted) -> Members:
    """A resource with all that are part of it, or that it is part of, however many steps away."""
    relation, id, type = wanted
    if type not in HIERARCHIES:
        known = ", ".join(sorted(HIERARCHIES))
        raise refuse(400, "not-supported", f"Modifier {relation!r}: {type} has no hierarchy here; these have: {known}.")
    param = _indexed(server, type, HIERARCHIES[type])
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
