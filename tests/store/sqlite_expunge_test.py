"""What is expunged is gone from the disk too, not only from answers. https://www.sqlite.org/pragma.html#pragma_secure_delete"""

from pathlib import Path

from fhir_server.search.predicate import Param
from fhir_server.store.seam import Change, Tx
from fhir_server.store.sqlite import open_sqlite

NAME = Param("name", "string")


def on_disk(folder: Path, marker: bytes) -> bool:
    return any(marker in path.read_bytes() for path in folder.iterdir())


async def test_no_byte_of_an_expunged_resource_stays_in_the_file(tmp_path: Path) -> None:
    store = await open_sqlite(f"sqlite:///{tmp_path / 'fhir.db'}")

    def change(id: str, version: int, name: str) -> Change:
        body = b'{"resourceType":"Patient","id":"%s","note":"%s"}' % (id.encode(), name.encode() * 700)
        return Change("Patient", id, version, 1000, "PUT", body, ((NAME, name, name),))

    async def write(tx: Tx) -> None:
        for version in (1, 2, 3):
            await tx.write(change("gone", version, f"secret{version}"))
        for number in range(20):
            await tx.write(change(f"kept{number}", 1, "harmless"))

    async def expunge(tx: Tx) -> int:
        return await tx.expunge((("Patient", "gone"),), 2000)

    await store.transact(write)
    assert on_disk(tmp_path, b"secret2")
    assert await store.transact(expunge) == 3
    for marker in (b"secret1", b"secret2", b"secret3", b"gone"):
        assert not on_disk(tmp_path, marker)
    assert on_disk(tmp_path, b"harmless")
    await store.close()
