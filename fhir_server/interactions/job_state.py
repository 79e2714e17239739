"""What the store's State holds of a job, so that any process can tell how it stands and go on. https://hl7.org/fhir/R4/async.html

job/ID            who asked, what, and until when (lease) which process works on it
job/ID/request/N  the Bundle, in pieces: a value has a limit of 16 MB in MongoDB
job/ID/outcome    written once, when it ended or was cancelled; a transaction writes it in its own commit
job/ID/ATTEMPT/N  the response of the attempt that the outcome names, in pieces
jobs              the ids of those that have not ended
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from fhir_server.access.grant import Grant
from fhir_server.server import Server
from fhir_server.store.seam import Busy

PIECE = 4_000_000  # bytes
MOST_OPEN = 1000  # jobs that wait or run at a time, over all processes


class Job(msgspec.Struct):
    """What a job is; `began` once a batch may have performed anything."""

    caller: str
    type: str  # batch or transaction
    full: bool
    size: int  # bytes of the request
    pieces: int
    entries: int
    expires: int
    grant: Grant | None = None  # what its caller may do, for whoever goes on with it; None: the operator
    lease: int = 0  # the time until which a process has it
    done: int = 0
    began: bool = False


class Outcome(msgspec.Struct, frozen=True):
    """How a job ended: the status and where its body is; status 0: it was cancelled or forgotten."""

    caller: str
    status: int = 0
    attempt: str = ""
    pieces: int = 0
    expires: int = 0


class Writes(Protocol):
    """What a Store and a Tx have in common here."""

    async def put_state(self, key: str, value: bytes, version: int, expires: int | None = None) -> bool:
        """As seam.Store.put_state."""
        ...


async def read_job(server: Server, id: str) -> tuple[Job, int] | None:
    """The job that has not ended, and the version of its value."""
    found = await server.store.get_state(f"job/{id}")
    return (msgspec.json.decode(found[0], type=Job), found[1]) if found else None


async def write_job(server: Server, id: str, job: Job, version: int) -> bool:
    """Replace `version`; False if another process did, or the job has ended."""
    return await server.store.put_state(f"job/{id}", msgspec.json.encode(job), version, job.expires)


async def read_outcome(server: Server, id: str) -> tuple[Outcome, int] | None:
    """How the job ended, and the version of that value."""
    found = await server.store.get_state(f"job/{id}/outcome")
    return (msgspec.json.decode(found[0], type=Outcome), found[1]) if found else None


async def write_outcome(store: Writes, id: str, outcome: Outcome, version: int = 0) -> bool:
    """Say how the job ended; False if that was said already."""
    return await store.put_state(f"job/{id}/outcome", msgspec.json.encode(outcome), version, outcome.expires)


async def write_pieces(store: Writes, key: str, body: bytes, expires: int) -> int:
    """Store a body under a fresh key; returns the number of pieces."""
    pieces = [body[at : at + PIECE] for at in range(0, len(body), PIECE)]
    for number, piece in enumerate(pieces):
        await store.put_state(f"{key}/{number}", piece, 0, expires)
    return len(pieces)


async def read_pieces(server: Server, key: str, count: int) -> bytes | None:
    """The body again; None if a piece is gone."""
    keys = [f"{key}/{number}" for number in range(count)]
    pieces = await server.store.get_states(keys)
    return b"".join(pieces[one][0] for one in keys) if len(pieces) == count else None


async def drop_pieces(server: Server, key: str, count: int) -> None:
    """Delete a body."""
    for number in range(count):
        await server.store.delete_state(f"{key}/{number}")


async def close_job(server: Server, id: str, job: Job) -> None:
    """Delete what is needed only until a job ends; its outcome stays."""
    await drop_pieces(server, f"job/{id}/request", job.pieces)
    await server.store.delete_state(f"job/{id}")
    await change_open(server, lambda ids: [one for one in ids if one != id])


async def open_jobs(server: Server) -> list[str]:
    """The ids of the jobs that have not ended, perhaps of some that just have."""
    found = await server.store.get_state("jobs")
    return msgspec.json.decode(found[0], type=list[str]) if found else []


async def change_open(server: Server, change: Callable[[list[str]], list[str]]) -> None:
    """Replace the list of open jobs. Raises Busy if it becomes too long."""
    while True:
        found = await server.store.get_state("jobs")
        ids = msgspec.json.decode(found[0], type=list[str]) if found else []
        changed = change(ids)
        if len(changed) > max(len(ids), MOST_OPEN):
            raise Busy("Too many jobs are open: try again when some have ended.")
        if changed == ids or await server.store.put_state(
            "jobs", msgspec.json.encode(changed), found[1] if found else 0
        ):
            return
