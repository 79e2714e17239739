"""Write the candidates of judged people, many in one transaction, each under the consent they were judged by."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fhir_server.access import OPERATOR, transact
from fhir_server.access.policy import policy_in
from fhir_server.interactions.draft import Draft, change, draft
from fhir_server.matching.candidates import Wanted, Write, writes
from fhir_server.matching.explain import DEVICE, DEVICE_ID
from fhir_server.matching.judge import Case
from fhir_server.matching.records import Held
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.store.seam import Conflict, Stored, Tx

MOST = 250  # resources in one transaction; more would keep other writers waiting


class Settled(NamedTuple):
    """What became of a case: how many pairs were written, and how many a person has deleted. None written: the Consents
    or candidates changed since it was judged, and nothing of it was."""

    case: Case
    written: int | None
    removed: int


class _Plan(NamedTuple):
    """The writes of one case, made ready."""

    case: Case
    drafts: tuple[tuple[Draft, Write], ...]
    written: int
    removed: int


async def settle(server: Server, cases: Iterable[Case]) -> list[Settled]:
    """Make the store hold what the cases want; each whole or not at all."""
    cases = list(cases)
    removed = await _removed(server, cases)
    plans = [_plan(server, case, removed) for case in cases]
    if any(plan.drafts for plan in plans):
        await _require_device(server)
    settled: list[Settled] = []
    for some in _portions(plans):
        done = await _written(server, some)
        settled += [
            Settled(plan.case, plan.written if ok else None, plan.removed) for plan, ok in zip(some, done, strict=True)
        ]
    return settled


def _portions(plans: Iterable[_Plan]) -> Iterable[list[_Plan]]:
    portion: list[_Plan] = []
    for plan in plans:
        if portion and sum(len(one.drafts) for one in portion) + len(plan.drafts) > MOST:
            yield portion
            portion = []
        portion.append(plan)
    if portion:
        yield portion


async def _removed(server: Server, cases: Iterable[Case]) -> set[tuple[str, str]]:
    """What the matcher wrote before, by type and id, and a person has deleted."""
    asked = []
    for case in cases:
        for wanted in case.wanted:
            before = case.held.get(wanted.id, Held())
            if before.subject is None:
                asked.append(("ResearchSubject", wanted.id))
            elif wanted.task is not None and before.task is None:
                asked.append(("Task", wanted.id))
    rows = await asyncio.gather(*(server.store.read(type, id, EVERYTHING) for type, id in asked))
    return {(row.type, row.id) for row in rows if row is not None and row.deleted}


def _plan(server: Server, case: Case, removed: set[tuple[str, str]]) -> _Plan:
    made: list[Write] = []
    written = gone = 0
    for wanted in case.wanted:
        if ("ResearchSubject", wanted.id) in removed:
            gone += 1
            continue
        mine = _of(wanted, case, removed)
        written += bool(mine)
        made += mine
    drafts = tuple((draft(server, write.resource, write.resource["id"]), write) for write in made)
    return _Plan(case, drafts, written, gone)


def _of(wanted: Wanted, case: Case, removed: set[tuple[str, str]]) -> list[Write]:
    found = writes(wanted, case.held.get(wanted.id, Held()), case.now)
    return [one for one in found if ("Task", wanted.id) not in removed or one.resource["resourceType"] != "Task"]


async def _written(server: Server, plans: Sequence[_Plan]) -> list[bool]:
    """Whether each plan was carried out. One by one after another writer has come between: who was it is not known."""
    if not any(plan.drafts for plan in plans):
        return [True] * len(plans)
    try:
        return await transact(server, OPERATOR, lambda tx: _write(tx, plans))
    except Conflict:
        return [False] if len(plans) == 1 else [(await _written(server, [plan]))[0] for plan in plans]


async def _write(tx: Tx, plans: Sequence[_Plan]) -> list[bool]:
    """A new pair is believed to be new: if it is not, `Tx.write` raises Conflict."""
    done = []
    for plan in plans:
        if plan.drafts and await policy_in(tx, plan.case.patient) != plan.case.policy:
            done.append(False)
            continue
        known = {id for id, before in plan.case.held.items() if before.subject is not None}
        for made, write in plan.drafts:
            id = write.resource["id"]
            before = await tx.read(made.type, id) if id in known else None
            version = _follows(before, write)
            updated = max(plan.case.now, tx.began, before.updated if before else 0)
            await tx.write(change(made, id, version + 1, updated, "PUT" if before else "POST"))
        done.append(True)
    return done


def _follows(before: Stored | None, write: Write) -> int:
    """The version that a write follows. Raises Conflict if it is not the one that was seen."""
    version = before.version if before else 0
    if version != write.seen and not (before and before.deleted and write.seen == 0):
        raise Conflict
    return version


async def _require_device(server: Server) -> None:
    """Store the Device that Provenance names as the agent, once."""
    if await server.store.read("Device", DEVICE_ID, EVERYTHING) is not None:
        return
    made, now = draft(server, DEVICE, DEVICE_ID), server.clock()

    async def work(tx: Tx) -> None:
        if await tx.read("Device", DEVICE_ID) is None:
            await tx.write(change(made, DEVICE_ID, 1, max(now, tx.began), "POST"))

    await transact(server, OPERATOR, work)
