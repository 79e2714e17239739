"""What a client that had an earlier export must take away. https://hl7.org/fhir/uv/bulkdata/STU2/export.html#response---complete-status

A resource is in here if the export as of `_since` had it and the export as of now has not: it was deleted, or has
become another's. What such a client cannot have had is not told.
"""

from collections.abc import AsyncIterator

from fhir_server.export.asked import Scope
from fhir_server.export.rows import as_of, judged, versions_since
from fhir_server.fhir import codec

ENTRIES = 100  # of one Bundle


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
    server, since, at = scope.server, scope.wish.since, scope.job.at
    assert since is not None
    asked = await scope.asked(type, changed=False)
    seen: set[str] = set()
    async for row in versions_since(server, type, since):
        if row.updated > at or row.id in seen:
            continue
        seen.add(row.id)
        if row.deleted or not await judged(server, asked, row):
            before = await as_of(server, type, row.id, since)
            had = await judged(server, asked, before) if before is not None and not before.deleted else None
            if had is not None:
                yield scope.caller.shown(had).id


def _bundle(names: list[str]) -> bytes:
    entries = [{"request": {"method": "DELETE", "url": name}} for name in names]
    return codec.encode({"resourceType": "Bundle", "type": "transaction", "entry": entries})
