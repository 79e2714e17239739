"""Exports and imports in the store's State, so that any process can tell how one stands and go on.

NAME/ID       the whole of it, from kick-off to expiry; whoever works on it holds its lease
NAME-open/ID  there while it has not ended: what a process looks through for work
"""

from typing import Generic, Protocol, TypeVar

import msgspec

from fhir_server.server import Server

MOST_OPEN = 1000  # over all clients


class Kicked(Protocol):
    """What is kept."""

    caller: str
    kicked: int
    expires: int


J = TypeVar("J", bound=Kicked)


class Open(msgspec.Struct, frozen=True):
    """What is known of an unfinished one without reading all of it."""

    caller: str
    kicked: int


class Kept(Generic[J]):
    """All that are kept under a name."""

    def __init__(self, name: str, type: type[J]) -> None:
        self._name, self._type = name, type

    def key(self, id: str) -> str:
        """The key of one in State."""
        return f"{self._name}/{id}"

    def open_key(self, id: str) -> str:
        """The key that is there while it has not ended."""
        return f"{self._name}-open/{id}"

    async def read(self, server: Server, id: str) -> tuple[J, int] | None:
        """One and the version of its value; None if it never was, was deleted or has expired."""
        found = await server.store.get_state(self.key(id))
        return (msgspec.json.decode(found[0], type=self._type), found[1]) if found else None

    async def open(self, server: Server) -> dict[str, Open]:
        """Those that have not ended, by id."""
        rows = await server.store.list_state(self.open_key(""), MOST_OPEN)
        return {key.removeprefix(self.open_key("")): msgspec.json.decode(value, type=Open) for key, value in rows}

    async def add(self, server: Server, id: str, job: J) -> None:
        """Keep a new one, and say that there is work."""
        await server.store.put_state(self.key(id), msgspec.json.encode(job), 0, job.expires)
        await server.store.put_state(
            self.open_key(id), msgspec.json.encode(Open(job.caller, job.kicked)), 0, job.expires
        )

    async def drop(self, server: Server, id: str) -> None:
        """Forget one: whoever works on it loses its lease."""
        await server.store.delete_state(self.key(id))
        await server.store.delete_state(self.open_key(id))
