"""From the journal to AuditEvents: in one process at a time, each batch once, whoever dies in between.

State `audit-folded` names the batches that were folded and may not be deleted yet. It is written in the transaction
that writes the events, and only if it is as it was read: two that fold at once cannot both succeed. What it names is
deleted before anything else is folded. State `audit-lease` only keeps the others from trying in vain.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from prometheus_client import Gauge

from fhir_server.access import OPERATOR, transact
from fhir_server.audit.event import Folded, Key, event_of, fold_into, id_of, is_full
from fhir_server.audit.journal import PREFIX, Journal, batch_of
from fhir_server.audit.notice import notice_id, notice_of
from fhir_server.audit.recall import recall
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.interactions.custom import rewired
from fhir_server.interactions.draft import Draft, change, draft
from fhir_server.interactions.job_run import stop
from fhir_server.search.predicate import EVERYTHING, ID, Is
from fhir_server.server import Server
from fhir_server.store.seam import Busy, Conflict, Query, Stored, StoreError, Tx

PERIOD = 8.0  # seconds between two folds: what is journalled can be searched for soon after
LEASE = 20_000_000  # microseconds after which another process folds in place of one that died
BATCHES = 600  # of the journal that are looked at together
EVENTS = 1000  # from which a transaction takes no further batch: the next access waits for its commit
# The same when the journal is longer than one look at it: accesses of one patient fold the better the more are taken.
MANY_EVENTS = 4000
BREATH = 8  # events drafted before other requests get a turn
CHUNK = 500  # events looked up in one query
REGISTER, HOLDER = "audit-folded", "audit-lease"
TYPE = "AuditEvent"
BACKLOG = Gauge("fhir_audit_backlog_batches", "Batches of the journal that the last fold found waiting")

log = logging.getLogger("fhir_server")


class Taken(Exception):
    """Another process folds."""


@asynccontextmanager
async def auditing(server: Server) -> AsyncIterator[Journal | None]:
    """While the server serves: its journal, which is folded in the background; None if accesses are not audited."""
    if server.settings.auth != "smart" or not server.settings.audit:
        yield None
        return
    process = server.new_id()
    journal, task = Journal(server.store, process), asyncio.create_task(_fold_for_ever(server, process))
    try:
        yield journal
    finally:
        await stop(task)
        with contextlib.suppress(Busy, StoreError):
            await journal.close()
            await _let_go(server, process)


async def _fold_for_ever(server: Server, process: str) -> None:
    while True:
        try:
            server = await rewired(server)
            if await _hold(server, process):
                await fold(server, process)
                await recall(server)
        except (Taken, Busy, Conflict, StoreError) as reason:
            log.warning("the journal of accesses is folded later: %s", type(reason).__name__)
        except Exception as error:  # the journal must not pile up because of one fault: tried again
            log.error("the journal of accesses could not be folded: %s", type(error).__name__)
        await asyncio.sleep(PERIOD)


async def _hold(server: Server, process: str) -> bool:
    """Take or renew the lease; False if another process has it."""
    found = await server.store.get_state(HOLDER)
    if found is not None and found[0] != process.encode():
        return False
    version = found[1] if found else 0
    return await server.store.put_state(HOLDER, process.encode(), version, server.clock() + LEASE)


async def _let_go(server: Server, process: str) -> None:
    found = await server.store.get_state(HOLDER)
    if found is not None and found[0] == process.encode():
        await server.store.delete_state(HOLDER)


async def fold(server: Server, process: str = "") -> int:
    """Fold all that is journalled; returns how many accesses. `process`: whose lease is renewed meanwhile.

    Raises Conflict if another process folded at the same time: nothing is lost, and nothing counted twice.
    """
    done, store = 0, server.store
    while True:
        found = await store.get_state(REGISTER)
        waste = msgspec.json.decode(found[0], type=list[str]) if found else []
        await asyncio.gather(*map(store.delete_state, waste))
        rows = await store.list_state(PREFIX, BATCHES)
        BACKLOG.set(len(rows))
        if not rows:
            if found and waste:
                await store.put_state(REGISTER, b"[]", found[1])
            return done
        taken, accesses, groups = _taken(rows, MANY_EVENTS if len(rows) == BATCHES else EVENTS)
        await _write(server, groups, taken, found[1] if found else 0)
        done += accesses
        if process and not await _hold(server, process):
            raise Taken


def _taken(waiting: Sequence[tuple[str, bytes]], most: int) -> tuple[list[str], int, dict[Key, list[Folded]]]:
    """The first batches, up to about `most` events: their keys, how many accesses they are, and the events."""
    keys: list[str] = []
    groups: dict[Key, list[Folded]] = {}
    count = 0
    for key, value in waiting:
        batch = batch_of(value)
        keys.append(key)
        count += len(batch)
        if len(fold_into(groups, batch)) > most:
            break
    return keys, count, groups


async def _write(server: Server, groups: dict[Key, list[Folded]], taken: list[str], version: int) -> None:
    """Write the events, with the note that their batches are folded. Raises Conflict if another process did."""
    changes = await _changes(server, groups)
    notices = {
        notice_id(key): draft(server, notice_of(key, pieces[0].first), notice_id(key))
        for key, pieces in groups.items()
        if key.emergency and key.patient and key.status < 400
    }

    async def work(tx: Tx) -> None:
        if not await tx.put_state(REGISTER, msgspec.json.encode(taken), version):
            raise Conflict("Another process folded the journal.")
        for made, id, number, time in changes:
            await tx.write(change(made, id, number, max(time, tx.began), "POST" if number == 1 else "PUT"))
        for id, made in notices.items():
            if await tx.read(made.type, id) is None:
                await tx.write(change(made, id, 1, tx.began, "POST"))

    await transact(server, OPERATOR, work)


async def _changes(server: Server, groups: dict[Key, list[Folded]]) -> list[tuple[Draft, str, int, int]]:
    """The events drafted, each as what follows the version that is there: its id, version and earliest time."""
    known = await _known(server, [id_of(key, 0) for key in groups])
    now, base = server.clock(), server.settings.base
    made: list[tuple[Draft, str, int, int]] = []
    for key, pieces in groups.items():
        part = 0
        for what in pieces:
            id = id_of(key, part)
            stored = known.get(id) if part == 0 else await server.store.read(TYPE, id, EVERYTHING)
            while (before := _resource(stored)) is not None and is_full(before):
                part += 1
                id = id_of(key, part)
                stored = await server.store.read(TYPE, id, EVERYTHING)
            drafted = draft(server, event_of(key, what, base, before), id)
            version, after = (stored.version, stored.updated) if stored is not None else (0, 0)
            made.append((drafted, id, version + 1, max(now, after)))
            part += 1
            if len(made) % BREATH == 0:
                await asyncio.sleep(0)
    return made


def _resource(stored: Stored | None) -> Resource | None:
    return None if stored is None or stored.deleted else codec.decode(stored.body)


async def _known(server: Server, ids: Sequence[str]) -> dict[str, Stored]:
    found: dict[str, Stored] = {}
    for at in range(0, len(ids), CHUNK):
        where = Is(ID, (("id", "in", tuple((id,) for id in ids[at : at + CHUNK])),))
        page = await server.store.search(Query((TYPE,), where, count=CHUNK))
        found |= {row.id: row for row in page.rows}
    return found
