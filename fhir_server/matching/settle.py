"""Write a judged patient's candidates in one transaction, under the consent they were judged by."""

from fhir_server.access import OPERATOR, transact
from fhir_server.interactions.draft import Draft, change, draft
from fhir_server.matching.candidates import Write, writes
from fhir_server.matching.explain import DEVICE, DEVICE_ID
from fhir_server.matching.judge import Case
from fhir_server.matching.records import Held, of_patient
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.store.seam import Conflict, Query, Tx


async def settle(server: Server, case: Case) -> tuple[int, int]:
    """Make the store hold what the case wants: how many pairs were written, and how many a person has deleted.

    Raises Conflict when the patient's Consents or candidates changed since they were judged.
    """
    plan: list[Write] = []
    written = removed = 0
    for wanted in case.wanted:
        before = case.held.get(wanted.id, Held())
        if before.subject is None and await _deleted(server, "ResearchSubject", wanted.id):
            removed += 1
            continue
        mine = writes(wanted, before, case.now)
        if mine and mine[-1].resource["resourceType"] == "Task" and mine[-1].seen == 0:
            mine = mine if not await _deleted(server, "Task", wanted.id) else mine[:-1]
        written += bool(mine)
        plan += mine
    if plan:
        await _require_device(server)
        drafts = [(draft(server, write.resource, write.resource["id"]), write) for write in plan]
        await transact(server, OPERATOR, lambda tx: _write(tx, case, drafts))
    return written, removed


async def _deleted(server: Server, type: str, id: str) -> bool:
    """Whether what the matcher wrote was there and a person deleted it."""
    row = await server.store.read(type, id, EVERYTHING)
    return row is not None and row.deleted


async def _write(tx: Tx, case: Case, drafts: list[tuple[Draft, Write]]) -> None:
    page = await tx.search(Query(("Consent",), of_patient("Consent", case.patient), count=10_000))
    if frozenset((row.id, row.version) for row in page.rows) != case.consents:
        raise Conflict
    for made, write in drafts:
        id = write.resource["id"]
        before = await tx.read(made.type, id)
        version = before.version if before else 0
        if version != write.seen and not (before and before.deleted and write.seen == 0):
            raise Conflict
        updated = max(case.now, tx.began, before.updated if before else 0)
        await tx.write(change(made, id, version + 1, updated, "PUT" if before else "POST"))


async def _require_device(server: Server) -> None:
    """Store the Device that Provenance names as the agent, once."""
    if await server.store.read("Device", DEVICE_ID, EVERYTHING) is not None:
        return
    made, now = draft(server, DEVICE, DEVICE_ID), server.clock()

    async def work(tx: Tx) -> None:
        if await tx.read("Device", DEVICE_ID) is None:
            await tx.write(change(made, DEVICE_ID, 1, max(now, tx.began), "POST"))

    await transact(server, OPERATOR, work)
