"""The resources of one type as they were at a point in time, in pages that can be gone on from.

First the current resources are walked, and those that were changed since the point are left out. Then each of these is
looked up in the history as it was, and judged by that version. What was walked before it was changed is not told twice:
`told` knows which ids a page had. The point is settled (Store.settled), so that neither pass can miss anything.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from fhir_server.access import READ, Caller, restrict, shown
from fhir_server.access.judging import rule_today
from fhir_server.fhir import codec
from fhir_server.interactions.versions import holds
from fhir_server.search.predicate import EVERYTHING, And, Indexed, Or, Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Position, Query, Stored

PAGE = 300  # resources read at a time: what is done with a page keeps other requests waiting
CHANGED = 500  # versions looked at at a time


class Told(Protocol):
    """The ids of the type that were written already."""

    def among(self, ids: Iterable[str]) -> set[str]:
        """Those of some."""
        ...

    def all(self) -> set[str]:
        """All of them."""
        ...


class Asked(NamedTuple):
    """Which resources of a type: a predicate for each batch of patients to ask the store with, and the same for all of
    them at once, to judge a single version with. `permit` puts the caller's permit into them, each time anew: what
    Consents permit may change while an export is written."""

    type: str
    batches: Sequence[Predicate]
    judge: Predicate
    permit: Callable[[Predicate], Predicate]


class Batch(NamedTuple):
    """Some rows, and the place after them."""

    rows: list[Stored]
    place: Any


def permitted(caller: Caller, type: str, where: Predicate, in_part: Predicate | None = None) -> Predicate:
    """`where`, as far as the caller may both search for and read it. Of what they may have in part (Caller.shown), what
    meets `in_part`, by default the same, as long as that asks for nothing which is hidden."""
    whole = restrict(where, caller, (type,))
    reading = caller.permit(type, READ)
    if reading not in (EVERYTHING, caller.permit(type, "s")):
        whole = And((reading, whole))
    if caller.partly is None:
        return whole
    readable = Or(tuple(permits(type, READ) for permits in caller.partly.permits.values()))
    return Or((whole, And((readable, shown(where if in_part is None else in_part, caller, (type,))))))


async def rows_at(
    server: Server, asked: Asked, at: int, place: Any, told: Told, most: Callable[[], int]
) -> AsyncIterator[Batch]:
    """All rows after a place, at most `most()` at a time."""
    number, after = place if place is not None else (0, None)
    # The resources that may lie in several batches: only what names two patients, so that it stays small.
    several = told.all() if place is not None and len(asked.batches) > 1 else set()
    while number < len(asked.batches):
        where = asked.permit(asked.batches[number])
        query = Query((asked.type,), where, count=min(PAGE, most()), after=_tuple(after))
        page = await server.store.search(query)
        rows = [row for row in page.rows if row.updated <= at]
        if len(asked.batches) > 1 and asked.type != "Patient":
            rows = _once(rows, several)
        number, after = (number, page.next) if page.next is not None else (number + 1, None)
        yield Batch(rows, (number, after))
    async for batch in _changed_since(server, asked, at, told):
        yield Batch(batch, (number, None))


def _once(rows: list[Stored], several: set[str]) -> list[Stored]:
    """Without what another batch of patients had."""
    shared = [row.id for row in rows if row.body.count(b"Patient/") > 1]
    seen = several.intersection(shared)
    several.update(shared)
    return [row for row in rows if row.id not in seen]


async def _changed_since(server: Server, asked: Asked, at: int, told: Told) -> AsyncIterator[list[Stored]]:
    """What was changed after the point, as it was then."""
    changed: dict[str, None] = {}
    async for row in versions_since(server, asked.type, at):
        changed[row.id] = None
    ids = list(changed)
    for start in range(0, len(ids), CHANGED):
        some = ids[start : start + CHANGED]
        before = told.among(some)
        found = [await as_of(server, asked.type, id, at) for id in some if id not in before]
        seen = [await judged(server, asked, row) for row in found if row is not None and not row.deleted]
        kept = [row for row in seen if row is not None]
        if kept:
            yield kept


async def versions_since(server: Server, type: str, since: int) -> AsyncIterator[Stored]:
    """The versions of a type that are later than a time, newest first."""
    after: Position | None = None
    while True:
        page = await server.store.history(type, None, EVERYTHING, since + 1, after, CHANGED)
        for row in page.rows:
            yield row
        after = page.next
        if after is None:
            return


async def as_of(server: Server, type: str, id: str, at: int) -> Stored | None:
    """The version that was current at a time, perhaps a deletion; None if there was none yet."""
    rows = (await server.store.history(type, id, EVERYTHING, None, None, 2, (at, at + 1))).rows
    return rows[0] if rows else None


async def judged(server: Server, asked: Asked, row: Stored) -> Stored | None:
    """A version, with the rule that it would have today, if it is one of those asked for: its entries are computed
    anew, what it refers to is asked of the store."""
    if asked.permit(asked.judge) == EVERYTHING:
        return row
    rule, until = await rule_today(server.store, server.consents, row.type, row.id, row.body)
    entries = server.index(codec.decode(row.body))
    where = asked.permit(asked.judge)  # the rule may have been one that nobody had asked about
    meets = await holds(server, where, Indexed(row.type, row.id, row.updated, entries, rule, until))
    return row._replace(rule=rule) if meets else None


def _tuple(position: Any) -> Position | None:
    return None if position is None else tuple(position)
