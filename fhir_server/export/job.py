"""What the store's State holds of an export, so that any process can tell how it stands and go on.

export/ID       the whole of it, from kick-off to expiry; whoever works on it holds its lease
export-open/ID  there while it has not ended: what a process looks through for work
"""

from typing import Any

import msgspec

from fhir_server.access.grant import Grant
from fhir_server.export.wish import Wish
from fhir_server.server import Server

OPEN = "export-open/"
MOST_OPEN = 1000  # over all clients


class File(msgspec.Struct, frozen=True):
    """A finished file: `kind` is output, deleted or error; its name is its place in the export's folder."""

    name: str
    kind: str
    type: str
    count: int
    size: int  # bytes


class Issue(msgspec.Struct, frozen=True):
    """What the client is told of something that was not done."""

    code: str
    text: str
    at: tuple[str, ...] = ()
    severity: str = "warning"


class Export(msgspec.Struct):
    """An export. `part` and `place` say where it goes on: a file that is listed is never written again."""

    caller: str
    request: str  # the URL of the kick-off
    wish: Wish
    kicked: int
    expires: int
    grant: Grant | None = None  # what its caller may do; None: the operator
    passed: tuple[Issue, ...] = ()
    secured: bool = True  # files need an access token
    at: int = 0  # the transactionTime; 0 until it is known
    lease: int = 0
    turn: int = 0  # when a process last began to work on it
    totals: dict[str, int] = {}  # resources of each type that is looked through, whatever is wanted of them
    stirred: tuple[str, ...] = ()  # types of which something was changed between `at` and the counting
    written: int = 0
    here: int = 0  # of the type in hand
    began: int = 0
    part: int = 0
    place: Any = None
    files: list[File] = []
    ended: int = 0
    failed: Issue | None = None
    status: int = 200


class Open(msgspec.Struct, frozen=True):
    """What is known of an unfinished export without reading all of it."""

    caller: str
    kicked: int


def key_of(id: str) -> str:
    """The key of an export in State."""
    return f"export/{id}"


async def read_export(server: Server, id: str) -> tuple[Export, int] | None:
    """The export and the version of its value; None if it never was, was deleted or has expired."""
    found = await server.store.get_state(key_of(id))
    return (msgspec.json.decode(found[0], type=Export), found[1]) if found else None


async def open_exports(server: Server) -> dict[str, Open]:
    """Those that have not ended, by id."""
    rows = await server.store.list_state(OPEN, MOST_OPEN)
    return {key.removeprefix(OPEN): msgspec.json.decode(value, type=Open) for key, value in rows}


async def add_export(server: Server, id: str, job: Export) -> None:
    """Keep a new export, and say that there is work."""
    await server.store.put_state(key_of(id), msgspec.json.encode(job), 0, job.expires)
    await server.store.put_state(OPEN + id, msgspec.json.encode(Open(job.caller, job.kicked)), 0, job.expires)


async def drop_export(server: Server, id: str) -> None:
    """Forget an export: whoever works on it loses its lease."""
    await server.store.delete_state(key_of(id))
    await server.store.delete_state(OPEN + id)
