"""Where resources live: `open_store(url)` gives the SQLite or the MongoDB store behind one seam (seam.py)."""

from fhir_server.store.seam import Store, StoreError


async def open_store(url: str) -> Store:
    """Open `sqlite:///PATH` (`sqlite:////abs/path`, `sqlite:///:memory:`) or `mongodb://HOST/DB`.

    Raises StoreError with the cure for an unknown scheme, a missing driver, an unusable file or server.
    """
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        from fhir_server.store.sqlite import open_sqlite

        return await open_sqlite(url)
    if scheme in ("mongodb", "mongodb+srv"):
        from fhir_server.store.mongo import open_mongo

        return await open_mongo(url)
    raise StoreError(f"Unknown store {url!r}: give sqlite:///PATH or mongodb://HOST/DATABASE.")
