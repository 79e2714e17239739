"""What a client that had an earlier export must take away. https://hl7.org/fhir/uv/bulkdata/STU2/export.html#response---complete-status

A resource is in here if an export since `_since` had it as it was then and the export as of now has not: it was
deleted, has become another's, or is not permitted any more. What such a client cannot have had is not told.
"""

from collections.abc import AsyncIterator, Sequence

from fhir_server.access.subjects import patients_of, person_types
from fhir_server.export.asked import BATCH, Scope
from fhir_server.export.members import belonging_to
from fhir_server.export.rows import CHANGED, Asked, as_of, judged, versions_since
from fhir_server.fhir import codec
from fhir_server.search.predicate import UPDATED, And, Is
from fhir_server.store.seam import Query, Stored

ENTRIES = 100  # of one Bundle
TRIES = 5  # at persons whose Consents are taken away from them at that very moment

Pair = tuple[Stored, Stored]


async def bundles_of_deleted(scope: Scope) -> AsyncIterator[tuple[bytes, int | None]]:
    """Transaction Bundles of DELETE requests; behind the last of a type, where to go on."""
    begin = scope.job.place or 0
    for number in range(begin, len(scope.wish.types)):
        type, gone = scope.wish.types[number], list[str]()
        if type in scope.referenced:
            continue  # it belongs to no patient, so it may be another's too
        async for id in _gone(scope, type):
            gone.append(f"{type}/{id}")
            if len(gone) == ENTRIES:
                yield _bundle(gone), None
                gone = []
        if gone:
            yield _bundle(gone), number + 1


async def _gone(scope: Scope, type: str) -> AsyncIterator[str]:
    asked, pairs = await scope.asked(type, changed=False), list[Pair]()
    async for pair in _pairs(scope, type):
        pairs.append(pair)
        if len(pairs) == CHANGED:
            for id in await _names_lost(scope, asked, pairs):
                yield id
            pairs = []
    for id in await _names_lost(scope, asked, pairs):
        yield id


async def _pairs(scope: Scope, type: str) -> AsyncIterator[Pair]:
    """What may have gone, as of `_since` and as of now."""
    server, since, at = scope.server, scope.wish.since, scope.job.at
    assert since is not None
    # First what is unchanged: whatever is changed while it is walked is found by its version afterwards.
    async for row in _unchanged(scope, type):
        yield row, row
    seen: set[str] = set()
    later: set[str] = set()
    async for row in versions_since(server, type, since):
        if row.updated > at:
            later.add(row.id)
        elif row.id not in seen:
            seen.add(row.id)
            before = await as_of(server, type, row.id, since)
            if before is not None and not before.deleted:
                yield before, row
    for one in sorted(later - seen):
        found = await _touched_at(scope, type, one)
        if found is not None:
            yield found, found


async def _names_lost(scope: Scope, asked: Asked, pairs: Sequence[Pair]) -> list[str]:
    """The ids under which the client may have had some of it and has it no more."""
    past = await scope.past()
    for _ in range(TRIES):
        lost = await _lost(scope, asked, pairs)
        if past is None or not await past.overtaken():
            break
    return lost


async def _lost(scope: Scope, asked: Asked, pairs: Sequence[Pair]) -> list[str]:
    lost: list[str] = []
    written = await scope.written_as(asked.type, [before.id for before, _ in pairs])
    for before, now in pairs:
        name = written.get(before.id, "")
        kept = None if name or now.deleted else await judged(scope.server, asked, now)
        if not (name or kept is not None) or scope.caller.partly is not None:
            names = await scope.names_before(asked, before)
            lost += sorted(names - {name or (scope.caller.shown(kept).id if kept is not None else "")})
    return lost


async def _unchanged(scope: Scope, type: str) -> AsyncIterator[Stored]:
    """What is about persons whose Consents have changed, and was not changed itself since."""
    past = await scope.past()
    if past is None or type not in person_types(scope.server.definitions):
        return
    several: set[str] = set()  # ids that may be in several batches
    unchanged = Is(UPDATED, (("low", "<=", scope.wish.since),))
    touched = sorted(past.touched)
    for start in range(0, len(touched), BATCH):
        where = And((belonging_to(scope.server.definitions, type, touched[start : start + BATCH]), unchanged))
        query: Query | None = Query((type,), where, count=CHANGED)
        while query is not None:
            page = await scope.server.store.search(query)
            for row in page.rows:
                if row.id not in several:
                    yield row
                if row.body.count(b"Patient/") > 1:
                    several.add(row.id)
            query = query._replace(after=page.next) if page.next is not None else None


async def _touched_at(scope: Scope, type: str, id: str) -> Stored | None:
    """The version as of the export's time, of what was changed after it only, if it is about one of those persons."""
    past = await scope.past()
    if past is None or type not in person_types(scope.server.definitions):
        return None
    found = await as_of(scope.server, type, id, scope.job.at)
    if found is None or found.deleted:
        return None
    entries = scope.server.index(codec.decode(found.body))
    return None if past.touched.isdisjoint(patients_of(scope.server.definitions, type, id, entries)) else found


def _bundle(names: list[str]) -> bytes:
    entries = [{"request": {"method": "DELETE", "url": name}} for name in names]
    return codec.encode({"resourceType": "Bundle", "type": "transaction", "entry": entries})
