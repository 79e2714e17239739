"""May this client have this file? Asked again at every download. https://hl7.org/fhir/uv/bulkdata/STU2/export.html#bulk-data-output-file-request"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fhir_server.access import READ, Caller
from fhir_server.access.rights import caller_of
from fhir_server.export.asked import BATCH
from fhir_server.export.bucket import asked
from fhir_server.export.files import NAME, bring_back, folder_of, kept_in, notes, patients_of
from fhir_server.export.job import File
from fhir_server.export.manifest import shown
from fhir_server.export.members import with_ids
from fhir_server.export.status import require_export, unknown
from fhir_server.fhir.outcome import refuse
from fhir_server.search.predicate import And, Not, Or
from fhir_server.server import Server
from fhir_server.store.seam import Query


class Download(NamedTuple):
    """A file that may be sent, and the patients whose data it holds. With an `address` it is read there."""

    path: Path
    file: File
    patients: frozenset[str]
    address: str = ""


async def download(server: Server, caller: Caller, id: str, name: str, method: str = "GET") -> Download:
    """The file. Raises FhirError 404 if there is none or it is another client's, 403 if the scopes do not cover its
    type, 410 if it holds what may not be given out any more."""
    job = await require_export(server, caller, id)
    file = next((one for one in shown(job) if one.name == name), None) if NAME.fullmatch(name) else None
    path, bucket = folder_of(server, id) / name, kept_in(server)
    if file is None or job.failed or not (bucket is not None or path.is_file()):
        raise unknown(id)
    await bring_back(server, path.parent, [f"{name}.{ending}" for ending in ("ids", "parts", "patients")])
    if file.kind in ("output", "blocks"):
        await _judge(server, caller, file, path)
    address = await asked(bucket.address, id, name, method) if bucket is not None else ""
    return Download(path, file, patients_of(path), address)


async def _judge(server: Server, caller: Caller, file: File, path: Path) -> None:
    """Raise FhirError 403 if the scopes do not cover a type of what a file holds, 410 for what may not be given any
    more."""
    (ids,), (parts,) = (notes(path.parent, [file], ending) for ending in ("ids", "parts"))
    held: dict[str, list[str]] = {} if file.kind == "blocks" else {file.type: ids}
    how: dict[str, dict[str, str]] = {}
    for key in ids if file.kind == "blocks" else ():
        type, _, id = key.partition("/")
        held.setdefault(type, []).append(id)
    for part in parts:
        name, _, key = part.partition(" ")
        type, _, id = key.rpartition("/")
        how.setdefault(type or file.type, {})[id] = name
    for type in held:
        if not (caller.may(type, "s") and caller.may(type, READ)):
            text = f"Your scopes do not let you read {type}: ask for system/{type}.rs."
            raise refuse(403, "forbidden", text, WWW_Authenticate='Bearer error="insufficient_scope"')
    for type, some in held.items():
        await judge(server, caller, type, some, how.get(type, {}))


async def judge(server: Server, caller: Caller, type: str, ids: Sequence[str], parts: Mapping[str, str]) -> None:
    """Raise FhirError 410 if one of the resources is not permitted any more by its patients' Consents, as it was given:
    `parts` says which without identity (`id`) or contact details."""
    if caller.grant is None:
        return
    whole = caller.permit(type, READ)
    scoped = caller_of(server.definitions, caller.grant).permit(type, READ)
    if whole == scoped:  # nothing is asked of consent for this caller or type
        return
    in_part = caller.partly.permits.items() if caller.partly is not None else ()
    anyhow = Or((whole, *(permits(type, READ) for _, permits in in_part)))
    known = Or((whole, *(permits(type, READ) for limits, permits in in_part if not limits.identity)))
    given = dict.fromkeys(ids, whole)
    for id, how in parts.items():
        given[id] = anyhow if how == "id" else known
    for permit in dict.fromkeys(given.values()):
        some = [id for id, needed in given.items() if needed == permit]
        for start in range(0, len(some), BATCH):
            where = And((with_ids(some[start : start + BATCH]), scoped, Not(permit)))
            if (await server.store.search(Query((type,), where, count=1))).rows:
                text = "Someone whose data this file holds does not permit this use any more: delete it, export anew."
                raise refuse(410, "suppressed", text)
