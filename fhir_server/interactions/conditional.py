"""Criteria that pick the one resource a conditional interaction is about. https://hl7.org/fhir/R4/http.html#cond-update"""

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

from fhir_server.access import Caller, restrict
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Pairs
from fhir_server.search.parse import parse_search
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.store.seam import Page, Query, Stored

Find = Callable[[Query], Awaitable[Page]]  # Store.search or Tx.search


def query_pairs(text: str) -> Pairs:
    """The parameters of a query string. Raises FhirError 400 if it is not percent-encoded UTF-8 or holds a NUL."""
    if not text:
        return ()
    try:
        pairs = tuple(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=1000))
    except ValueError:  # UnicodeDecodeError is one too
        raise refuse(400, "invalid", "The query is not percent-encoded UTF-8 of at most 1000 parameters.") from None
    if "\0" in text or any("\0" in name or "\0" in value for name, value in pairs):
        raise refuse(400, "invalid", "The query holds a NUL character.")
    return pairs


def criteria(server: Server, caller: Caller, type: str, pairs: Pairs) -> Query:
    """The query of a conditional interaction: at most two rows, enough to tell one from many.

    Unknown parameters are refused even under lenient handling. Raises FhirError 400 for criteria that restrict nothing.
    """
    search = parse_search(server.definitions, type, pairs, False, server.clock(), server.settings.base)
    if search.contained != "false":
        raise refuse(
            400, "not-supported", "A conditional interaction is about no contained resource: leave _contained."
        )
    if search.where == EVERYTHING:
        raise refuse(400, "required", f"A conditional interaction on {type} needs search criteria.")
    return Query((type,), restrict(search.where, caller, (type,)), count=2)


async def one(find: Find, query: Query) -> Stored | None:
    """The one match, or None. Raises FhirError 412 if there are several."""
    rows = (await find(query)).rows
    if len(rows) > 1:
        raise refuse(412, "multiple-matches", f"The criteria match more than one {query.types[0]}.")
    return rows[0] if rows else None
