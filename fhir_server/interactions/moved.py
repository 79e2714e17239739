"""Rows that moved in the sort order while a client turned the pages. https://hl7.org/fhir/R4/http.html#paging

A page goes on behind the last row of the one before. A row whose sort key was changed meanwhile, from a page that was
shown to behind that place, would come a second time. Its history and the trail of the pages say so: such a row is left
out. What kept its sort key, or had not been reached when it moved, stays. Only rows written since the first page was
asked for are looked at.
"""

from collections.abc import Sequence
from typing import Any

from fhir_server.fhir import codec
from fhir_server.search.predicate import EVERYTHING, ID, Indexed, Sort, entries_of, fields
from fhir_server.server import Server
from fhir_server.store.seam import Position, Stored

Keys = tuple[Any, ...]  # a value for each Sort, None when the row has none
Step = tuple[int, int, Keys]  # a page, or several: when the first and the last were read, the keys of the last row

TRAIL = 16  # steps that a token remembers
SLACK = 500_000  # microseconds that a write may take from drawing its time to being seen

_FIELD = {"token": "code", "string": "norm", "uri": "uri", "id": "id"}  # "low" of all others
_HISTORY = 50  # versions read at a time


def sort_keys(server: Server, row: Stored, sort: Sequence[Sort]) -> Keys:
    """What a version is sorted by (predicate.Sort)."""
    indexed = Indexed(row.type, row.id, row.updated, server.index(codec.decode(row.body)))
    found: list[Any] = []
    for param, descending in sort:
        values = [_value(entry) for entry in entries_of(indexed, param)]
        found.append((max if descending else min)(values) if values else None)
    return tuple(found)


def _value(entry: tuple[Any, ...]) -> Any:
    kind = entry[0].kind
    if kind == "reference":
        return f"{entry[1]}/{entry[2]}" if entry[2] else entry[3]
    return entry[1 + fields(kind).index(_FIELD.get(kind, "low"))]


def moves(sort: Sequence[Sort]) -> bool:
    """Whether an update can change a row's place: not in the order of creation or of ids."""
    return any(param != ID for param, _ in sort)


async def unmoved(
    server: Server, rows: Sequence[Stored], sort: Sequence[Sort], began: int, trail: Sequence[Step]
) -> list[Stored]:
    """The rows of a page but those that may have been on an earlier one under another key."""
    return [
        row
        for row in rows
        if row.version == 1 or row.updated < began or not await _was_shown(server, row, sort, began, trail)
    ]


async def _was_shown(server: Server, row: Stored, sort: Sequence[Sort], began: int, trail: Sequence[Step]) -> bool:
    now, until = sort_keys(server, row, sort), row.updated
    after: Position | None = None
    while True:
        page = await server.store.history(row.type, row.id, EVERYTHING, None, after, _HISTORY)
        for version in page.rows:
            if version.version < row.version and not version.deleted:
                then = sort_keys(server, version, sort)
                if then != now and _on_a_page(then, version.updated, until, sort, trail):
                    return True
            until = version.updated
            if until < began:  # it was in force when the first page was asked for
                return False
        after = page.next
        if after is None:
            return False


def _on_a_page(keys: Keys, since: int, until: int, sort: Sequence[Sort], trail: Sequence[Step]) -> bool:
    """Whether a page read while these keys were in force, or nearly, reaches from before them to behind them."""
    before: Keys | None = None
    for first, last, end in trail:
        overlaps = since <= last + SLACK and until >= first - SLACK
        if overlaps and not _behind(keys, end, sort) and (before is None or not _behind(before, keys, sort)):
            return True
        before = end
    return False


def further(trail: Sequence[Step], now: int, keys: Keys) -> tuple[Step, ...]:
    """The trail with one more page; when it becomes long, two old pages are taken for one."""
    steps = [*trail, (now, now, keys)]
    if len(steps) > TRAIL:
        at = min(range(len(steps) - 2), key=lambda at: steps[at + 1][1] - steps[at][0])
        steps[at : at + 2] = [(steps[at][0], steps[at + 1][1], steps[at + 1][2])]
    return tuple(steps)


def _behind(keys: Keys, place: Keys, sort: Sequence[Sort]) -> bool:
    for key, at, (_, descending) in zip(keys, place, sort, strict=True):
        if key != at:
            if key is None or at is None:
                return key is None  # what has no value comes last
            return bool(key < at if descending else key > at)
    return False
