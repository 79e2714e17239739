"""A search to its end, page after page."""

from fhir_server.store.seam import Query, Store


async def walked(store: Store, query: Query) -> list[str]:
    """The ids of all pages, in order."""
    found: list[str] = []
    while True:
        page = await store.search(query)
        found += [row.id for row in page.rows]
        if page.next is None:
            return found
        query = query._replace(after=page.next)
