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
from fhir_server.search.predicate import And, Not
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
    permit = caller.permit(file.type, READ)
    scoped = caller_of(server.definitions, caller.grant).permit(file.type, READ)
    if permit == scoped:  # nothing is asked of consent for this caller or type
        return
    (ids,) = notes(path.parent, [file], "ids")
    for start in range(0, len(ids), BATCH):
        where = And((with_ids(ids[start : start + BATCH]), scoped, Not(permit)))
        if (await server.store.search(Query((file.type,), where, count=1))).rows:
            text = "A patient whose data this file holds does not permit this use any more: delete it, and export anew."
            raise refuse(410, "suppressed", text)
