"""May this client have this file? Asked again at every download. https://hl7.org/fhir/uv/bulkdata/STU2/export.html#bulk-data-output-file-request"""

from pathlib import Path
from typing import NamedTuple

from fhir_server.access import READ, Caller
from fhir_server.access.rights import caller_of
from fhir_server.export.asked import BATCH
from fhir_server.export.files import NAME, folder_of, notes, patients_of
from fhir_server.export.job import File
from fhir_server.export.members import with_ids
from fhir_server.export.status import require_export, unknown
from fhir_server.fhir.outcome import refuse
from fhir_server.search.predicate import And, Not, Or
from fhir_server.server import Server
from fhir_server.store.seam import Query


class Download(NamedTuple):
    """A file that may be sent, and the patients whose data it holds."""

    path: Path
    file: File
    patients: frozenset[str]


async def download(server: Server, caller: Caller, id: str, name: str) -> Download:
    """The file. Raises FhirError 404 if there is none or it is another client's, 403 if the scopes do not cover its
    type, 410 if it holds what may not be given out any more."""
    job = await require_export(server, caller, id)
    file = next((one for one in job.files if one.name == name), None) if job.ended and NAME.fullmatch(name) else None
    path = folder_of(server, id) / name
    if file is None or job.failed or not path.is_file():
        raise unknown(id)
    if file.kind == "output" and not (caller.may(file.type, "s") and caller.may(file.type, READ)):
        text = f"Your scopes do not let you read {file.type}: ask for system/{file.type}.rs."
        raise refuse(403, "forbidden", text, WWW_Authenticate='Bearer error="insufficient_scope"')
    if file.kind == "output":
        await judge(server, caller, file, path)
    return Download(path, file, patients_of(path))


async def judge(server: Server, caller: Caller, file: File, path: Path) -> None:
    """Raise FhirError 410 for a file that holds a resource which its patients' Consents do not permit any more."""
    if caller.grant is None:
        return
    whole = caller.permit(file.type, READ)
    scoped = caller_of(server.definitions, caller.grant).permit(file.type, READ)
    if whole == scoped:  # nothing is asked of consent for this caller or type
        return
    in_part = caller.partly.permits.items() if caller.partly is not None else ()
    anyhow = Or((whole, *(permits(file.type, READ) for _, permits in in_part)))
    known = Or((whole, *(permits(file.type, READ) for limits, permits in in_part if not limits.identity)))
    (ids,), (parts,) = (notes(path.parent, [file], ending) for ending in ("ids", "parts"))
    given = dict.fromkeys(ids, whole)
    for line in parts:
        how, _, id = line.partition(" ")
        given[id] = anyhow if how == "id" else known
    for permit in dict.fromkeys(given.values()):
        some = [id for id, needed in given.items() if needed == permit]
        for start in range(0, len(some), BATCH):
            where = And((with_ids(some[start : start + BATCH]), scoped, Not(permit)))
            if (await server.store.search(Query((file.type,), where, count=1))).rows:
                text = "Someone whose data this file holds does not permit this use any more: delete it, export anew."
                raise refuse(410, "suppressed", text)
