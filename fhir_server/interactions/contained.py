"""A search for contained resources, alone or beside others. https://hl7.org/fhir/R4/search.html#contained

The store finds what contains candidates; whether one of them meets all criteria is seen in the resource itself. A page
may therefore hold fewer than `_count` entries, or, of `_containedType=contained`, more.
"""

from fhir_server.fhir import codec
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.conditional import Find
from fhir_server.search.contained import found_in, holders
from fhir_server.search.predicate import And, Indexed, Or, Predicate, across, matches, of_types
from fhir_server.search.query import Search
from fhir_server.server import Server
from fhir_server.store.seam import Query, Stored

BATCH = 500  # resources looked into at a time to count


def widened(asked: Search) -> Predicate:
    """What resources meet that may contain a result, or (`both`) are one, of whatever type.

    Raises FhirError 400 for what cannot be asked so.
    """
    if not asked.types:
        raise refuse(400, "required", "_contained needs the type of the contained resources: [base]/Medication?...")
    if asked.sort:
        raise refuse(
            400, "not-supported", "_sort is not possible with _contained: what contains them has no such value."
        )
    if across(asked.where):
        raise refuse(400, "not-supported", "Chains, _has and _list are not possible with _contained.")
    where = holders(asked.where, asked.types)
    if asked.contained == "both":
        where = Or((And((of_types(asked.types), asked.where)), where))
    return where


def results(server: Server, asked: Search, rows: list[Stored]) -> list[Stored]:
    """The matches among what `widened` found: the rows themselves, or what they contain as `Type/id#inner`."""
    return [match for row in rows for match in _matches(server, asked, row)]


def _matches(server: Server, asked: Search, row: Stored) -> list[Stored]:
    resource = codec.decode(row.body)
    itself = asked.contained == "both" and row.type in asked.types and _meets(server, asked.where, row)
    inner = found_in(resource, row.updated, asked.where, asked.types, server.index)
    if asked.contained_type == "container":
        return [row] if itself or inner else []
    bodies = [(one.get("id", ""), codec.encode(one)) for one in inner]
    return ([row] if itself else []) + [row._replace(id=f"{row.id}#{id}", body=body) for id, body in bodies]


def _meets(server: Server, where: Predicate, row: Stored) -> bool:
    entries = server.index(codec.decode(row.body))
    return matches(where, Indexed(row.type, row.id, row.updated, entries), {})


async def counted(server: Server, asked: Search, find: Find, query: Query) -> int:
    """How many matches there are, by looking at all that may be."""
    total, query = 0, query._replace(count=BATCH, after=None, total=False)
    while True:
        page = await find(query)
        total += len(results(server, asked, page.rows))
        if page.next is None:
            return total
        query = query._replace(after=page.next)
