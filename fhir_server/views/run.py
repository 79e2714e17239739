"""A view over what a caller may read: each page under the permit of that moment. docs/operations/viewdefinition.md

As in an export, consent is asked in the store's query, and what is permitted in part only is shown in that form before
the view looks at it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from fhir_server.access import Caller
from fhir_server.export.asked import BATCH
from fhir_server.export.members import belonging_to
from fhir_server.export.rows import PAGE, permitted
from fhir_server.fhir.outcome import refuse
from fhir_server.search.predicate import EVERYTHING, UPDATED, And, Is, Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Query, Stored
from fhir_server.views.selects import Row
from fhir_server.views.view import View, each

_PATIENT = b'"reference":"Patient/'


class Wish(NamedTuple):
    """Which resources: those of some patients (None: all), those changed after a time in µs, the first `limit` rows."""

    patients: Sequence[str] | None = None
    since: int | None = None
    limit: int | None = None


class Found(NamedTuple):
    """The rows of a view, and the ids of the patients whose data they were made of."""

    rows: list[Row]
    patients: set[str]


async def run(server: Server, caller: Caller, view: View, wish: Wish) -> Found:
    """All rows. Raises FhirError 422 for more than the settings allow, and for resources that the view cannot take."""
    most = server.settings.view_rows
    found = Found([], set())
    async for page in _pages(server, caller, view.type, wish):
        shown = [caller.shown(row) for row in page]
        for row, told in zip(page, shown, strict=True):
            if made := list(each(view, [told.body])):
                found.rows.extend(made)
                found.patients.update(patients_of(row, server.settings.base))
            if len(found.rows) > most:
                break
        if wish.limit is not None and len(found.rows) >= wish.limit:
            del found.rows[wish.limit :]
            break
        if len(found.rows) > most:
            text = f"The view has more than {most:,} rows: give _limit, patient or group, or run it on an export."
            raise refuse(422, "too-costly", text)
        await asyncio.sleep(0)
    return found


def patients_of(row: Stored, base: str) -> list[str]:
    """The patients whom a resource names, for the audit trail: in stored bytes references look one way only."""
    text = row.body.replace(f"{base}/".encode(), b"")
    found = [piece[: piece.index(b'"')].split(b"/")[0].decode() for piece in text.split(_PATIENT)[1:]]
    return [*found, row.id] if row.type == "Patient" else found


async def _pages(server: Server, caller: Caller, type: str, wish: Wish) -> AsyncIterator[list[Stored]]:
    """The resources that the caller may have, each once though it may be of several patients."""
    seen: set[str] = set()
    conditions = [Is(UPDATED, (("low", ">", wish.since),))] if wish.since is not None else []
    for batch in _batches(server, type, wish.patients):
        where = And((batch, *conditions)) if conditions else batch
        query = Query((type,), where, count=PAGE)
        while True:
            await server.consents.rules.fresh(server.store)
            page = await server.store.search(query._replace(where=permitted(caller, type, where)))
            yield [row for row in page.rows if row.id not in seen]
            if wish.patients is not None:
                seen.update(row.id for row in page.rows)
            if page.next is None:
                break
            query = query._replace(after=page.next)


def _batches(server: Server, type: str, patients: Sequence[str] | None) -> list[Predicate]:
    if patients is None:
        return [EVERYTHING]
    some = (patients[start : start + BATCH] for start in range(0, len(patients), BATCH))
    return [belonging_to(server.definitions, type, ids) for ids in some]
