"""What the store's State holds of an import, so that any process can tell how it stands and go on.

bring/ID       the whole of it, from kick-off to expiry; whoever works on it holds its lease
bring-open/ID  there while it has not ended
What is written of a file, and what was refused of it, lies with the note on the file (bring.py, noted.py).
"""

import msgspec

from fhir_server.access.grant import Grant
from fhir_server.export.job import MOST_OPEN, Issue, Open
from fhir_server.server import Server

OPEN = "bring-open/"


class Source(msgspec.Struct, frozen=True):
    """A file to be imported: what it holds, and where it is."""

    type: str
    url: str


class Brought(msgspec.Struct, frozen=True):
    """What became of one: the key of its note, counts, pieces of refusals; why it could not be imported, if so."""

    key: str = ""
    stored: int = 0
    refused: int = 0
    told: int = 0
    skipped: bool = False  # it was imported before
    failed: Issue | None = None


class Importing(msgspec.Struct):
    """An import. `brought` are the files that are done, in order."""

    caller: str
    request: str  # the URL of the kick-off
    sources: tuple[Source, ...]
    origin: str  # the inputSource
    kicked: int
    expires: int
    by_identifier: bool = False
    grant: Grant | None = None  # what its caller may do; None: the operator
    secured: bool = True  # reports need an access token
    lease: int = 0
    stored: int = 0  # so far
    refused: int = 0
    brought: list[Brought] = []
    ended: int = 0
    failed: Issue | None = None
    status: int = 200


def key_of(id: str) -> str:
    """The key of an import in State."""
    return f"bring/{id}"


async def read_import(server: Server, id: str) -> tuple[Importing, int] | None:
    """The import and the version of its value; None if it never was, was deleted or has expired."""
    found = await server.store.get_state(key_of(id))
    return (msgspec.json.decode(found[0], type=Importing), found[1]) if found else None


async def open_imports(server: Server) -> dict[str, Open]:
    """Those that have not ended, by id."""
    rows = await server.store.list_state(OPEN, MOST_OPEN)
    return {key.removeprefix(OPEN): msgspec.json.decode(value, type=Open) for key, value in rows}


async def add_import(server: Server, id: str, job: Importing) -> None:
    """Keep a new import, and say that there is work."""
    await server.store.put_state(key_of(id), msgspec.json.encode(job), 0, job.expires)
    await server.store.put_state(OPEN + id, msgspec.json.encode(Open(job.caller, job.kicked)), 0, job.expires)


async def drop_import(server: Server, id: str) -> None:
    """Forget an import: whoever works on it loses its lease."""
    await server.store.delete_state(key_of(id))
    await server.store.delete_state(OPEN + id)
