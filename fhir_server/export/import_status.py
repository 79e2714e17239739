"""$import: its kick-off, how it stands, its report, and its end. docs/operations/import.md

https://github.com/smart-on-fhir/bulk-import/blob/master/import-manifest.md
"""

import secrets
from email.utils import formatdate
from typing import Any

from fhir_server.access import Caller
from fhir_server.export.import_job import IMPORTS, Brought, Importing
from fhir_server.export.import_manifest import read_manifest
from fhir_server.export.import_run import cancel
from fhir_server.export.job import Issue as Told
from fhir_server.export.kick_off import SECOND, WAIT, require_async, require_backend
from fhir_server.export.noted import told_key
from fhir_server.export.status import AGAIN, NDJSON, polls_of, require_patience
from fhir_server.fhir import codec
from fhir_server.fhir.capability import IMMUTABLE
from fhir_server.fhir.dates import instant
from fhir_server.fhir.outcome import FhirError, Issue, operation_outcome, refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.server import Server

BEARER = 'Bearer error="insufficient_scope"'


async def kick_off_import(server: Server, caller: Caller, ask: Ask) -> Answer:
    """202 with the address of the import's status. Raises FhirError 400, 403, 429."""
    require_async(ask, "An import")
    require_backend(caller, "Imports")
    wanted = read_manifest(server, ask.resource, ask.lenient)
    types = sorted({source.type for source in wanted.sources})
    # Its resources keep their ids, which takes what a PUT under an id of the client's choice takes (access.md).
    # Nobody chooses the ids of what is never changed, but where everyone is let in.
    barred = [type for type in types if not caller.unrestricted(type, "cru") or (type in IMMUTABLE and not caller.free)]
    if barred:
        text = f"You may not import {', '.join(barred)[:200]}: it takes system/TYPE.cru for all resources of the type."
        raise refuse(403, "forbidden", text, WWW_Authenticate=BEARER)
    unfinished = [one for one in (await IMPORTS.open(server)).values() if one.caller == caller.id]
    if len(unfinished) >= server.settings.export_open:
        text = f"You have {len(unfinished)} imports that have not ended: wait for one, or delete it."
        raise refuse(429, "throttled", text, Retry_After=str(WAIT))
    id, now = secrets.token_hex(16), server.clock()
    job = Importing(
        caller=caller.id,
        request=f"{server.settings.base}/$import",
        sources=wanted.sources,
        origin=wanted.origin,
        kicked=now,
        expires=now + server.settings.job_lifetime * SECOND,
        by_identifier=wanted.by_identifier,
        grant=caller.grant,
        secured=server.settings.auth != "open",
    )
    await IMPORTS.add(server, id, job)
    server.import_place.set()
    address = f"{server.settings.base}/_import/{id}"
    issue = Issue("informational", f"{address} tells how the import stands.", severity="information")
    return Answer(202, codec.encode(operation_outcome([issue])), headers=(("Content-Location", address),))


async def import_status(server: Server, caller: Caller, ask: Ask) -> Answer:
    """202 with X-Progress while it lasts, then what became of each file, or the refusal that ended it.

    Raises FhirError 404 for an import that there is not, that has expired, or of another client; 429 for impatience.
    """
    job = await require_import(server, caller, ask.id)
    if not job.ended:
        require_patience(polls_of(server, ask.id))
        done = 100 * len(job.brought) // len(job.sources)
        told = f"{done} % ({len(job.brought)} of {len(job.sources)} files, {job.stored} stored, {job.refused} refused)"
        return Answer(202, headers=(("X-Progress", told), ("Retry-After", str(AGAIN))))
    if job.failed is not None:
        return Answer(job.status, codec.encode(operation_outcome([_issue(job.failed)])))
    until = formatdate(job.expires // SECOND, usegmt=True)
    return Answer(
        200, codec.encode(report(server, ask.id, job)), headers=(("Expires", until),), type="application/json"
    )


def report(server: Server, id: str, job: Importing) -> dict[str, Any]:
    """What became of each file, in their order."""
    output, error = [], []
    for number, (source, done) in enumerate(zip(job.sources, job.brought, strict=True), 1):
        about = {"type": "OperationOutcome", "input": source.url, "inputUrl": source.url}
        output.append({**about, "count": 0 if done.skipped else done.stored})
        if count := lines_of(done):
            error.append({**about, "count": count, "url": f"{server.settings.base}/_import/{id}/{number}"})
    return {
        "transactionTime": instant(job.ended),
        "request": job.request,
        "requiresAccessToken": job.secured,
        "output": output,
        "error": error,
    }


def lines_of(done: Brought) -> int:
    """How many OperationOutcomes are told of a file."""
    return done.refused + (done.failed is not None) + done.skipped


async def import_errors(server: Server, caller: Caller, ask: Ask) -> Answer:
    """The OperationOutcomes of one file as NDJSON. Raises FhirError 404, for another client's too."""
    job = await require_import(server, caller, ask.id)
    number = int(ask.version) if ask.version.isascii() and ask.version.isdigit() and len(ask.version) < 6 else 0
    if not job.ended or job.failed is not None or not 1 <= number <= len(job.brought):
        raise unknown(ask.id)
    done = job.brought[number - 1]
    if not lines_of(done):
        raise unknown(ask.id)
    issues = [done.failed] if done.failed is not None else []
    if done.skipped:
        text = f"This file was imported before: {done.stored} stored, {done.refused} refused. Nothing was done again."
        issues.append(Told("informational", text, severity="information"))
    lines = [codec.encode(operation_outcome([_issue(one)])) + b"\n" for one in issues]
    keys = [told_key(done.key, piece) for piece in range(done.told)]
    told = await server.store.get_states(keys)
    lines += [told[key][0] for key in keys if key in told]
    return Answer(200, b"".join(lines), type=NDJSON)


async def forget_import(server: Server, caller: Caller, ask: Ask) -> Answer:
    """Cancel an import, or forget its report: 202; what was stored stays. Raises FhirError 404 as `import_status`."""
    await require_import(server, caller, ask.id)
    await IMPORTS.drop(server, ask.id)
    cancel(server, ask.id)
    return Answer(202)


async def require_import(server: Server, caller: Caller, id: str) -> Importing:
    """The caller's import. Raises FhirError 404, the same for one that there is not and for another's."""
    kept = await IMPORTS.read(server, id)
    if kept is None or kept[0].caller != caller.id or kept[0].expires <= server.clock():
        raise unknown(id)
    return kept[0]


def unknown(id: str) -> FhirError:
    """The 404 of an import, or of one of its reports."""
    return refuse(404, "not-found", f"There is no import {id[:64]!r}: it was deleted, has expired, or never was.")


def _issue(told: Told) -> Issue:
    return Issue(told.code, told.text, told.at, told.severity)
