"""$expunge: remove a resource, or a patient's whole record, from the store for good. Operators only.

DELETE keeps history, as R4 asks: https://hl7.org/fhir/R4/http.html#delete. This is for what must not be kept: all
versions, index entries and State go, and a tombstone without content stays. The address then answers 404, as if it had
never been used, and may be used again (docs/operations/expunge.md).
"""

from collections.abc import AsyncIterator, Sequence
from functools import partial

from fhir_server.access import Caller, transact
from fhir_server.fhir import codec
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.may import immutable
from fhir_server.interactions.visible import not_found
from fhir_server.matching.ahead import removing
from fhir_server.matching.studies import DESCRIBING, mark
from fhir_server.operations.inputs import Inputs
from fhir_server.operations.record import groups, membership
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.store.seam import Query, Stored, Tx

TAKES = {"everything": "boolean"}
BATCH = 200  # resources removed in one transaction
TOLD = 100  # of those that remain
AUDIT = "AuditEvent"  # who saw what stays accountable: it holds no clinical content

Key = tuple[str, str]


async def expunge(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Parameters that say how many resources and versions went, and what names the patient and remains.

    Members go before their patient, so that one that was interrupted can be called again. Raises FhirError 404, 405 for
    an AuditEvent.
    """
    if ask.type == AUDIT:
        raise immutable(ask.type)
    whole = given.get("everything", False)
    if whole and ask.type != "Patient":
        raise refuse(400, "invalid", "everything=true is about a Patient: other types are removed one by one.")
    gone: dict[Key, None] = {}
    remaining: dict[Key, None] = {}
    if whole:
        async for row in _members(server, ask.id):
            alone = row.type != AUDIT and not _of_others(server, row, ask.id)
            (gone if alone else remaining)[row.type, row.id] = None
        async for key, deleted in _formerly(server, ask.id):
            if key not in remaining:
                (gone if deleted or key in gone else remaining)[key] = None
    gone.pop((ask.type, ask.id), None)
    keys = [*gone, (ask.type, ask.id)]
    versions, now = 0, server.clock()
    for at in range(0, len(keys), BATCH):
        batch = keys[at : at + BATCH]
        versions += await transact(server, caller, partial(_remove, batch, now))
    if not versions:
        raise not_found(ask.type, ask.id)
    said: list[dict[str, object]] = [
        {"name": "resources", "valueInteger": len(keys)},
        {"name": "versions", "valueInteger": versions},
    ]
    for type, id in list(remaining)[:TOLD]:
        said.append({"name": "remaining", "valueString": f"{type}/{id}"})
    return Answer(200, codec.encode({"resourceType": "Parameters", "parameter": said}))


async def _remove(batch: Sequence[Key], now: int, tx: Tx) -> int:
    if any(type in DESCRIBING for type, _ in batch):
        await mark(tx)
    await removing(tx)
    return await tx.expunge(batch, now)


async def _members(server: Server, patient: str) -> AsyncIterator[Stored]:
    """The resources of a patient's compartment, other Patients aside."""
    for group in groups():
        query = Query(group.types, membership(group, patient), count=500)
        while True:
            page = await server.store.search(query)
            for row in page.rows:
                yield row
            if page.next is None:
                break
            query = query._replace(after=page.next)


def _of_others(server: Server, row: Stored, patient: str) -> bool:
    """Whether a member belongs to another patient too: a Group of several, an Observation that a parent made."""
    links = {link for group in groups(frozenset({row.type})) for link in group.links}
    entries = server.index(codec.decode(row.body))
    return any(entry[0] in links and entry[1] == "Patient" and entry[2] not in ("", patient) for entry in entries)


async def _formerly(server: Server, patient: str) -> AsyncIterator[tuple[Key, bool]]:
    """Resources of which some version names the patient, and whether they are deleted: no index tells, so that all of
    the history is read, some 50,000 versions a second."""
    types = server.definitions.compartments["Patient"].keys() - {"Patient"}
    names = [f"Patient/{patient}{end}".encode() for end in ('"', "/_history/")]
    state: dict[Key, bool] = {}
    after = None
    while True:  # newest first: the first row of a resource tells whether it is deleted
        page = await server.store.history(None, None, EVERYTHING, None, after, 1000)
        for row in page.rows:
            key = row.type, row.id
            if row.type in types:
                state.setdefault(key, row.deleted)
                if any(name in row.body for name in names):
                    yield key, state[key]
        if page.next is None:
            return
        after = page.next
