"""Patient/$everything: a patient's whole record, or that of every patient. https://hl7.org/fhir/R4/patient-operation-everything.html

A page holds members of the compartment as matches and, as includes, what they refer to outside of it (practitioners,
organizations, medications, locations): one hop, under the caller's permit, spliced from stored bytes without decoding.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from fhir_server.access import READ, Caller, permitted, restrict
from fhir_server.fhir.bundle import bundle, search_entry
from fhir_server.fhir.outcome import refuse
from fhir_server.fhir.references import parse
from fhir_server.interactions.ask import Answer, Ask, Pairs
from fhir_server.interactions.pages import PARAMETER, Place, seal, unseal
from fhir_server.interactions.visible import gone, not_found
from fhir_server.operations.inputs import Inputs, inputs
from fhir_server.operations.inputs import given as given_in
from fhir_server.operations.record import ALWAYS, Span, groups, linking, membership
from fhir_server.search.predicate import ID, UPDATED, And, Is, Or, Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Page, Position, Query, Stored

TAKES = {"start": "date", "end": "date", "_since": "date", "_type": "codes", "_count": "count", PARAMETER: "string"}
CHUNK = 200  # resources fetched by id in one search
PATIENTS = 200  # records that one page of all patients looks into, so that a filter that hides all does not run long
_REFERENCE = b'"reference":"'


class Wish(NamedTuple):
    """What is asked for: `types` empty for all; `since` in microseconds since 1970."""

    types: frozenset[str]
    span: Span
    since: int | None
    count: int  # type: ignore[assignment]  # a field, not tuple.count
    linking: bool = True  # Patients that link to this one; of all patients each comes by itself


class Where(NamedTuple):
    """Where a page begins: a patient ("": the next one after `patients`), a part of its record, a position in that."""

    patient: str = ""
    part: int = 0
    position: Position | None = None
    patients: Position | None = None
    last: bool = False  # `patient` is the last one there is


async def everything(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """A searchset Bundle. Raises FhirError 404 or 410 without the patient, 400 for a bad parameter."""
    path = f"Patient/{ask.id}/$everything" if ask.id else "Patient/$everything"
    query, begin = _pairs(ask), Where(ask.id, last=True) if ask.id else Where()
    first = PARAMETER not in given
    if not first:
        place = unseal(server, caller, path, given[PARAMETER])
        patient, part, position, patients, last = place.position
        query, begin = place.query, Where(patient, part, _tuple(position), _tuple(patients), last)
        given = inputs(Ask(query=query), TAKES)
    elif ask.id:
        await present(server, caller, ask.id)
    wish = _wished(server, given)._replace(linking=bool(ask.id))
    found, following = await _page(server, caller, wish, begin)
    rows = list({(row.type, row.id): row for row in found}.values())  # a Group may be part of several records
    added = await referenced(server, caller, wish, rows)
    links = [("self", _url(server, path, (*query, *ask.form)))]
    if following is not None:
        sealed = seal(server, caller, Place(path, query, following, None, False))
        links.append(("next", _url(server, path, ((PARAMETER, sealed), *ask.form))))
    base = server.settings.base
    entries = [search_entry(f"{base}/{row.type}/{row.id}", row.body, "match") for row in rows]
    entries += [search_entry(f"{base}/{row.type}/{row.id}", row.body, "include") for row in added]
    total = len(rows) if first and following is None else None
    return Answer(200, bundle("searchset", entries, links=links, total=total))


async def present(server: Server, caller: Caller, id: str) -> Stored:
    """The patient. Raises FhirError 404 or 410 unless the caller may see them."""
    stored = await server.store.read("Patient", id, caller.permit("Patient", READ))
    if stored is None:
        raise not_found("Patient", id)
    if stored.deleted:
        raise gone("Patient", id)
    return stored


def _pairs(ask: Ask) -> Pairs:
    """The parameters as a query, in which a `next` link remembers them."""
    return tuple((name, str(value)) for name, value, _ in given_in(ask, TAKES) if name != PARAMETER)


def _tuple(position: Any) -> Position | None:
    return None if position is None else tuple(position)


def _url(server: Server, path: str, pairs: Pairs) -> str:
    return f"{server.settings.base}/{path}" + (f"?{urlencode(pairs)}" if pairs else "")


def _wished(server: Server, given: Inputs) -> Wish:
    types = given.get("_type", ())
    for type in types:
        if type not in server.definitions.resources:
            raise refuse(400, "value", f"_type: R4 has no resource type {type[:60]!r}.")
    start, end, since = (given.get(name) for name in ("start", "end", "_since"))
    span = Span(start[0] if start else None, end[1] if end else None)
    most = server.settings.max_page_size
    return Wish(frozenset(types), span, since[0] if since else None, min(given.get("_count", most), most))


async def _page(server: Server, caller: Caller, wish: Wish, where: Where) -> tuple[list[Stored], Where | None]:
    """The rows of a page and where the next one begins."""
    rows: list[Stored] = []
    looked_into = 0
    while True:
        if not where.patient:
            looked_into += 1
            if looked_into > PATIENTS:
                return rows, where
            query = Query(("Patient",), permitted(caller, ("Patient",), "s"), count=1, after=where.patients)
            page = await server.store.search(query)
            if not page.rows:
                return rows, None
            where = Where(page.rows[0].id, 0, None, page.next, page.next is None)
        room = wish.count - len(rows)
        found = await _part(server, caller, wish, where, max(room, 1))
        if found is None and where.last:
            return rows, None
        if found is None:
            where = Where(patients=where.patients)
            if room == 0:
                return rows, where
            continue
        if room == 0 and found.rows:
            return rows, where
        rows += found.rows
        if found.next is not None:
            return rows, where._replace(position=found.next)
        where = where._replace(part=where.part + 1, position=None)


async def _part(server: Server, caller: Caller, wish: Wish, where: Where, count: int) -> Page | None:
    """A page of one part of a record: the patient, those that link to it, each group of types; None behind the last."""
    id = where.patient
    if where.part < 2 and ((wish.types and "Patient" not in wish.types) or where.part > wish.linking):
        return Page([])
    if where.part == 0:
        stored = await server.store.read("Patient", id, caller.permit("Patient", READ))
        return Page([stored] if stored and not stored.deleted and stored.updated >= (wish.since or 0) else [])
    if where.part == 1:
        return await _search(server, caller, wish, Query(("Patient",), linking(id), count=count, after=where.position))
    gathered = groups(wish.types, wish.span != ALWAYS)
    if where.part - 2 >= len(gathered):
        return None
    group = gathered[where.part - 2]
    query = Query(group.types, membership(group, id, wish.span), count=count, after=where.position)
    return await _search(server, caller, wish, query)


async def _search(server: Server, caller: Caller, wish: Wish, query: Query) -> Page:
    where: Predicate = query.where
    if wish.since is not None:
        where = And((where, Is(UPDATED, (("low", ">=", wish.since),))))
    return await server.store.search(query._replace(where=restrict(where, caller, query.types)))


async def referenced(server: Server, caller: Caller, wish: Wish, rows: Sequence[Stored]) -> list[Stored]:
    """What the rows refer to that can belong to no patient, as far as the caller may see it, each once."""
    members = server.definitions.compartments["Patient"]
    wanted: dict[tuple[str, str], None] = {}
    for text in dict.fromkeys(_references(rows)):
        found = parse(text.decode(), server.settings.base)
        outside = found.type in server.definitions.resources and found.type not in members
        if outside and (not wish.types or found.type in wish.types):
            wanted[found.type, found.id] = None
    keys = sorted(wanted)
    added: list[Stored] = []
    for at in range(0, len(keys), CHUNK):
        some = dict.fromkeys(keys[at : at + CHUNK])
        types = tuple(dict.fromkeys(type for type, _ in some))
        where = Or(tuple(Is(ID, (("id", "=", id),)) for id in dict.fromkeys(id for _, id in some)))
        page = await _search(server, caller, wish, Query(types, where, count=len(some) * len(types)))
        added += [row for row in page.rows if (row.type, row.id) in some]
    return added


def _references(rows: Iterable[Stored]) -> Iterator[bytes]:
    """The texts of all references: stored bytes are our own encoding, in which they look one way only. An escape
    makes a text that is no local reference. Splitting finds them in a tenth of the time of decoding."""
    for row in rows:
        for piece in row.body.split(_REFERENCE)[1:]:
            yield piece[: piece.index(b'"')]
