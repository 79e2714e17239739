"""Files that cannot be used, and disks that fill up: a message with the cure, and nothing half-written."""

import sqlite3
from pathlib import Path

import pytest

from fhir_server.search.predicate import EVERYTHING, Param
from fhir_server.store import open_store
from fhir_server.store.seam import Change, Query, StoreError, Tx
from fhir_server.store.sqlite import open_sqlite, schema

CODE = Param("code", "token")


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fhir.db"
    path.write_bytes(b"these are not the pages you are looking for" * 1000)
    with pytest.raises(StoreError, match="damaged or not an SQLite file"):
        await open_store(f"sqlite:///{path}")
    assert path.read_bytes().startswith(b"these are not")


async def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "fhir.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (a)")
    other.commit()
    other.close()
    with pytest.raises(StoreError, match="another program"):
        await open_store(f"sqlite:///{path}")


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fhir.db"
    await (await open_store(f"sqlite:///{path}")).close()
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version=99")
    newer.commit()
    newer.close()
    with pytest.raises(StoreError, match="newer version of this server"):
        await open_store(f"sqlite:///{path}")


async def test_a_damaged_page_is_reported_not_served(tmp_path: Path) -> None:
    path = tmp_path / "fhir.db"
    store = await open_store(f"sqlite:///{path}")

    async def work(tx: Tx) -> None:
        for number in range(2000):
            await tx.write(Change("Patient", str(number), 1, 1, "PUT", b"x" * 500, ((CODE, "s", str(number)),)))

    await store.transact(work)
    await store.close()
    with path.open("r+b") as file:
        for page in range(3, path.stat().st_size // 8192):
            file.seek(page * 8192)
            file.write(b"\xff" * 8192)
    broken = await open_store(f"sqlite:///{path}")
    with pytest.raises(StoreError, match="Restore it from a backup"):
        await broken.search(Query(("Patient",), EVERYTHING))
    await broken.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "postgres://x", ""])
async def test_an_address_that_names_no_store_says_what_would(url: str) -> None:
    with pytest.raises(StoreError, match="sqlite:///"):
        await open_store(url)


async def test_a_folder_that_cannot_be_made_is_named() -> None:
    with pytest.raises(StoreError, match="cannot be"):
        await open_store("sqlite:////proc/nowhere/fhir.db")


async def test_a_full_disk_refuses_the_whole_group_and_recovers(tmp_path: Path) -> None:
    store = await open_sqlite(f"sqlite:///{tmp_path / 'fhir.db'}")

    def filling(id: str, size: int) -> Change:
        return Change("Patient", id, 1, 1, "PUT", b"x" * size, ((CODE, "s", "c"),))

    async def small(tx: Tx) -> None:
        await tx.write(filling("small", 10))

    async def large(tx: Tx) -> None:
        await tx.write(filling("first", 10))
        await tx.write(filling("large", 3_000_000))

    await store.transact(small)
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count={pages + 20}")
    with pytest.raises(StoreError, match=r"disk .* is full"):
        await store.transact(large)
    assert [row.id for row in (await store.search(Query(("Patient",), EVERYTHING))).rows] == ["small"]
    assert await store.read("Patient", "first", EVERYTHING) is None
    store._writer.execute("PRAGMA max_page_count=1000000")
    await store.transact(large)
    assert await store.count(Query(("Patient",), EVERYTHING)) == 3
    await store.close()


async def test_the_log_may_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "SHORTEST_LOG", 1)
    store = await open_sqlite(f"sqlite:///{tmp_path / 'fhir.db'}")
    lengths = []
    for number in range(3):
        change = Change("Patient", str(number), 1, 0, "PUT", bytes(400_000), ())

        async def work(tx: Tx, change: Change = change) -> None:
            await tx.write(change)

        await store.transact(work)
        pragmas = ("page_count", "wal_autocheckpoint")
        pages, length = (store._writer.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas)
        assert length == pages // 8
        lengths.append(length)
    await store.close()
    assert lengths == sorted(set(lengths))
