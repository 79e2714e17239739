"""The resources of one type as they were at a point in time, in pages that can be gone on from.

First the current resources are walked, and those that were changed since the point are left out. Then each of these is
looked up in the history as it was, and judged by that version. What was walked before it was changed is not told twice:
`told` knows which ids a page had. The point is settled (Store.settled), so that neither pass can miss anything.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Sequence, Set
from typing import Any, NamedTuple, Protocol

from fhir_server.access import READ, Caller, restrict, shown
from fhir_server.access.judging import rule_today
from fhir_server.access.statements import FOREVER
from fhir_server.access.subjects import patients_of
from fhir_server.fhir import codec
from fhir_server.interactions.versions import holds
from fhir_server.search.predicate import EVERYTHING, And, Indexed, Or, Predicate
from fhir_server.server import Server
from fhir_server.store.pace import FIRST, paced
from fhir_server.store.seam import Lines, Page, Position, Query, Stored

PAGE = 300  # resources read at a time, if they are small: what is done with a page keeps other requests waiting
LINES = 500  # the same where nothing has to be done but to write them
CHANGED = 500  # versions looked at at a time


class Told(Protocol):
    """The ids of the type that were written already."""

    def among(self, ids: Iterable[str]) -> set[str]:
        """Those of some."""
        ...

    def all(self) -> set[str]:
        """All of them."""
        ...


class Again(NamedTuple):
    """What is told although it was not changed: in batches, and as a condition on all of it. `touched` are the ids of
    the patients it is about."""

    batches: Sequence[Predicate]
    judge: Predicate
    permit: Callable[[Predicate], Predicate]
    touched: Set[str]


class Asked(NamedTuple):
    """Which resources of a type: a predicate for each batch of patients to ask the store with, and the same for all of
    them at once, to judge a single version with. `permit` puts the caller's permit into them, each time anew: what
    Consents permit may change while an export is written."""

    type: str
    batches: Sequence[Predicate]
    judge: Predicate
    permit: Callable[[Predicate], Predicate]
    again: Again | None = None


class Batch(NamedTuple):
    """Some rows, or their lines, and the place after them."""

    rows: list[Stored]
    place: Any
    lines: Lines | None = None


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
    server: Server,
    asked: Asked,
    at: int,
    place: Any,
    told: Told,
    room: Callable[[int], int],
    whole: Callable[[], bool] = lambda: False,
) -> AsyncGenerator[Batch, None]:
    """All rows after a place, at most `room(n)` at a time, n of those before not being written yet: the next page is
    read while one is written. As lines while `whole()`, as far as nothing has to be known of them but their ids."""
    number, after = place if place is not None else (0, None)
    again = asked.again.batches if asked.again is not None else ()
    first, all = len(asked.batches), len(asked.batches) + len(again)
    # The resources that may lie in several batches: only what names two patients, so that it stays small.
    several = told.all() if place is not None and all > 1 else set()

    fitting = FIRST

    def read(number: int, after: Any, count: int) -> Coroutine[Any, Any, Page | Lines]:
        count = min(count, fitting)
        where = asked.permit(asked.batches[number]) if number < first else _permitted_again(asked, number - first)
        query = Query((asked.type,), where, count=min(PAGE, count), after=_tuple(after))
        if number < first and (first == 1 or asked.type == "Patient") and whole():
            return server.store.lines(query._replace(count=min(LINES, count)), at)
        return server.store.search(query)

    reading = asyncio.create_task(read(number, after, room(0))) if number < all else None
    try:
        while reading is not None:
            page, here = await reading, number
            number, after = (number, page.next) if page.next is not None else (number + 1, None)
            pending, size = _measured(page)
            fitting = paced(fitting, pending, size, LINES)
            reading = asyncio.create_task(read(number, after, room(pending))) if number < all else None
            if isinstance(page, Lines):
                yield Batch([], (number, after), page)
                continue
            rows = [row for row in page.rows if row.updated <= at]
            if here >= first:
                rows = [row for row in rows if await _told_again(server, asked, row) is not None]
            if (first if here < first else len(again)) > 1 and asked.type != "Patient":
                rows = _once(rows, several)
            yield Batch(rows, (number, after))
    finally:
        if reading is not None:
            reading.cancel()
    async for batch in _changed_since(server, asked, at, told):
        yield Batch(batch, (number, None))


def _measured(page: Page | Lines) -> tuple[int, int]:
    """How many resources a page holds, and their bytes."""
    if isinstance(page, Lines):
        return len(page.ids), len(page.text)
    return len(page.rows), sum(len(row.body) for row in page.rows)


def _permitted_again(asked: Asked, number: int) -> Predicate:
    assert asked.again is not None
    return asked.again.permit(asked.again.batches[number])


async def _told_again(server: Server, asked: Asked, row: Stored) -> Stored | None:
    """A version that was not changed, if it is about one of the touched and asked for."""
    if asked.again is None or asked.again.touched.isdisjoint(
        patients_of(server.definitions, row.type, row.id, server.index(codec.decode(row.body)))
    ):
        return None
    return await judged(server, asked._replace(judge=asked.again.judge, permit=asked.again.permit), row)


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
        there = [row for row in found if row is not None and not row.deleted]
        seen = [await judged(server, asked, row) or await _told_again(server, asked, row) for row in there]
        kept = [row for row in seen if row is not None]
        if kept:
            yield kept


async def versions_since(server: Server, type: str | None, since: int) -> AsyncIterator[Stored]:
    """The versions of a type, or of all, that are later than a time, newest first."""
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


async def judged(server: Server, asked: Asked, row: Stored, rule: int | None = None) -> Stored | None:
    """A version, with its rule, if it is one of those asked for: its entries are computed anew, what it refers to is
    asked of the store. Its rule is the one that it would have today, or the one given."""
    if asked.permit(asked.judge) == EVERYTHING:
        return row
    until = FOREVER
    if rule is None:
        rule, until = await rule_today(server.store, server.consents, row.type, row.id, row.body)
    entries = server.index(codec.decode(row.body))
    where = asked.permit(asked.judge)  # the rule may have been one that nobody had asked about
    meets = await holds(server, where, Indexed(row.type, row.id, row.updated, entries, rule, until))
    return row._replace(rule=rule) if meets else None


def _tuple(position: Any) -> Position | None:
    return None if position is None else tuple(position)
