"""Search one type, all types or a compartment. https://hl7.org/fhir/R4/search.html"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from fhir_server.access import Caller, restrict, shown
from fhir_server.fhir.bundle import bundle, search_entry
from fhir_server.fhir.codec import encode
from fhir_server.fhir.outcome import Issue, operation_outcome, refuse
from fhir_server.interactions.ask import Answer, Ask, Pairs
from fhir_server.interactions.conditional import Find
from fhir_server.interactions.contained import counted, results, widened
from fhir_server.interactions.explain import explained
from fhir_server.interactions.included import included
from fhir_server.interactions.lookup import parsed
from fhir_server.interactions.may import require
from fhir_server.interactions.moved import further, moves, sort_keys, unmoved
from fhir_server.interactions.pages import PARAMETER, Place, seal, unseal
from fhir_server.interactions.subset import subset
from fhir_server.search.compartment import all_in_compartment, in_compartment
from fhir_server.search.predicate import And, Or, Predicate
from fhir_server.search.query import Search
from fhir_server.server import Server
from fhir_server.store.seam import Page, Query, Stored


async def search(server: Server, caller: Caller, ask: Ask) -> Answer:
    """A searchset Bundle, one page of it; FhirError 400 for what cannot be searched."""
    return await searched(server, caller, ask, server.store.search)


async def searched(server: Server, caller: Caller, ask: Ask, find: Find) -> Answer:
    """The same over a store's or a transaction's `find`."""
    path = f"{ask.compartment}/{ask.id}/{ask.type}" if ask.compartment else ask.type
    now = server.clock()
    place = Place(path, ask.query, (), None, ask.lenient, now)
    token = dict(ask.query).get(PARAMETER)
    if token is not None:
        if len(ask.query) > 1:
            raise refuse(400, "invalid", f"{PARAMETER} takes no other parameters: follow the next link as it is.")
        place = unseal(server, caller, path, token)
    asked, where, before = await _parsed(server, caller, ask, place, find)
    for type in asked.types if ask.type != "*" else ():
        require(caller, type, "s")
    types, inner = asked.types, asked.contained != "false"
    if inner:
        if ask.compartment:
            raise refuse(400, "not-supported", "A compartment is not searched for contained resources.")
        types, where = (), widened(asked)
    where = shown(where, caller, types, asked.sort)
    own = None
    if before is not None and token is None:
        own = Query((ask.compartment,), restrict(before, caller, (ask.compartment,)), count=1)
    links = [("self", _url(server, path, (*asked.used, *ask.form)))]
    if asked.summary == "count" or asked.count == 0:
        query = Query(types, where, count=1, total=True)
        total = await counted(server, asked, find, query) if inner else (await _page(find, query, own)).total
        return Answer(200, bundle("searchset", (), links=links, total=total))
    count = min(asked.count or server.settings.page_size, server.settings.max_page_size)
    first = token is None
    if ("_explain", "true") in place.query:
        return await explained(server, caller, Query(types, where, asked.sort, count, place.position or None))
    exact = first and asked.total in ("accurate", "estimate")
    query = Query(types, where, asked.sort, count, place.position or None, exact and not inner)
    page = await _page(find, query, own)
    rows = results(server, asked, page.rows) if inner else page.rows
    total = page.total if exact else place.total
    if exact and inner:
        total = await counted(server, asked, find, query)
    if first and total is None and page.next is None and asked.total != "none":
        total = len(rows)
    if moves(asked.sort):
        rows = rows if first else await unmoved(server, rows, asked.sort, place.began, place.trail)
        if page.next is not None:
            keys = sort_keys(server, page.rows[-1], asked.sort)
            place = place._replace(trail=further(place.trail, now, keys))
    if page.next is not None:
        sealed = seal(server, caller, place._replace(position=page.next, total=total))
        links.append(("next", _url(server, path, ((PARAMETER, sealed), *ask.form))))
    # Of what is shown in part, what it refers to is told under other names: nothing is added to it.
    whole = [row for row in rows if caller.partly is None or caller.shown(row) is row]
    added, cut = await included(server, caller, asked.includes, whole, find) if asked.includes else ((), False)
    rows = [caller.shown(row) for row in rows]
    entries = _entries(server, asked, rows, "match") + _entries(server, asked, added, "include")
    if cut:
        entries.append(_cut(server))
    return Answer(200, bundle("searchset", entries, links=links, total=total))


async def _page(find: Find, query: Query, own: Query | None) -> Page:
    """A page that begins, if it is the first, with what `own` finds."""
    before = (await find(own)).rows if own is not None else []
    page = await find(query._replace(count=max(query.count - len(before), 1)))
    if before and len(before) == query.count:  # no room: the next page begins where the others do
        page = page._replace(rows=[], next=() if page.rows else None)
    total = None if page.total is None else page.total + len(before)
    return Page([*before, *page.rows], page.next, total)


async def _parsed(
    server: Server, caller: Caller, ask: Ask, place: Place, find: Find
) -> tuple[Search, Predicate, Predicate | None]:
    """The search, what its resources meet, and what the one meets that comes before them."""
    type = None if ask.type in ("", "*") else ask.type
    asked = await parsed(server, caller, find, type, place.query, place.lenient, place.began)
    if not ask.compartment:
        return asked, asked.where, None
    if type is None:
        found = all_in_compartment(server.definitions, ask.compartment, ask.id, asked.types)
        if found is None:
            raise refuse(404, "not-supported", f"None of these types is in the compartment of a {ask.compartment}.")
        asked, members = replace(asked, types=found.types), found.where
        if found.itself is not None and asked.sort:
            types = tuple(dict.fromkeys((*found.types, ask.compartment)))
            return replace(asked, types=types), And((Or((members, found.itself)), asked.where)), None
        own = And((found.itself, asked.where)) if found.itself is not None else None
        return asked, And((members, asked.where)), own
    within = in_compartment(server.definitions, ask.compartment, ask.id, ask.type)
    if within is None:
        raise refuse(404, "not-supported", f"{ask.type} is not in the compartment of a {ask.compartment}.")
    return asked, And((within, asked.where)), None


def _url(server: Server, path: str, pairs: Pairs | Sequence[tuple[str, str]]) -> str:
    address = f"{server.settings.base}/{path}".rstrip("/")
    return f"{address}?{urlencode(pairs)}" if pairs else address


def _entries(server: Server, asked: Search, rows: Sequence[Stored], mode: str) -> list[bytes]:
    base = server.settings.base
    if not asked.elements and asked.summary in (None, "false"):
        return [search_entry(f"{base}/{row.type}/{row.id}", row.body, mode) for row in rows]
    elements = asked.elements if mode == "match" else ()
    bodies = [subset(server.definitions, row.body, asked.summary, elements) for row in rows]
    return [search_entry(f"{base}/{row.type}/{row.id}", body, mode) for row, body in zip(rows, bodies, strict=True)]


def _cut(server: Server) -> bytes:
    text = f"Only the first {server.settings.max_includes} included resources are shown: ask for smaller pages."
    outcome: dict[str, Any] = operation_outcome([Issue("too-costly", text, severity="warning")])
    return search_entry("", encode(outcome), "outcome")
