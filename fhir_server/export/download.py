"""May this client have this file? Asked again at every download. https://hl7.org/fhir/uv/bulkdata/STU2/export.html#bulk-data-output-file-request"""

from pathlib import Path
from typing import NamedTuple

from fhir_server.access import READ, Caller
from fhir_server.export.files import NAME, folder_of, patients_of
from fhir_server.export.job import Export, File
from fhir_server.export.status import require_export, unknown
from fhir_server.fhir.outcome import refuse
from fhir_server.server import Server


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
    patients = patients_of(path)
    await judge(server, caller, job, file, patients)
    return Download(path, file, patients)


async def judge(server: Server, caller: Caller, job: Export, file: File, patients: frozenset[str]) -> None:
    """The place where what has changed since the export is looked at: raise FhirError 410 for a file that holds data of
    a patient which may not be given out any more. An export is made under the rights of its kick-off; until consent is
    asked here, those stand for as long as its files."""
