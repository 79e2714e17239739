"""Bundles performed after the answer: `Prefer: respond-async`. https://hl7.org/fhir/R4/async.html"""

from email.utils import formatdate

from fhir_server.access import Caller
from fhir_server.fhir import codec
from fhir_server.fhir.outcome import FhirError, Issue, operation_outcome, refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.batch import batch_or_transaction, require_bundle
from fhir_server.interactions.entries import entries_of
from fhir_server.interactions.job_run import start
from fhir_server.interactions.job_state import (
    Job,
    Outcome,
    change_open,
    close_job,
    drop_pieces,
    read_job,
    read_outcome,
    read_pieces,
    write_job,
    write_outcome,
    write_pieces,
)  # fmt: skip
from fhir_server.interactions.table import Shapes
from fhir_server.server import Server
from fhir_server.store.seam import Busy


async def now_or_later(server: Server, caller: Caller, ask: Ask, shapes: Shapes) -> Answer:
    """A batch or transaction: its response, or 202 and where that will be. Raises FhirError."""
    return await (accept if ask.later else batch_or_transaction)(server, caller, ask, shapes)


async def accept(server: Server, caller: Caller, ask: Ask, shapes: Shapes) -> Answer:
    """Keep the Bundle and begin; 202 with Content-Location. Raises FhirError 400, 413; Busy if too many are open."""
    given = require_bundle(ask.resource)
    entries = len(entries_of(server, given))
    body = codec.encode(given)
    id, expires = server.new_id(), server.clock() + server.settings.job_lifetime * 1_000_000
    pieces = await write_pieces(server.store, f"job/{id}/request", body, expires)
    job = Job(caller.id, given["type"], ask.full, len(body), pieces, entries, expires, caller.grant)
    await write_job(server, id, job, 0)
    try:
        await change_open(server, lambda ids: [*ids, id])
    except Busy:
        await close_job(server, id, job)
        raise
    start(server, caller, id, shapes)
    address = f"{server.settings.base}/_async/{id}"
    issue = Issue("informational", f"{address} tells how the {job.type} stands.", severity="information")
    return Answer(202, codec.encode(operation_outcome([issue])), headers=(("Content-Location", address),))


async def status(server: Server, caller: Caller, ask: Ask, shapes: Shapes) -> Answer:
    """202 with X-Progress while it lasts; then the response, or the refusal, with the status it would have had.

    Raises FhirError 404 for a job that there is not, that was cancelled, or of another caller.
    """
    kept = await read_job(server, ask.id)
    ended = await read_outcome(server, ask.id)
    if ended is not None and ended[0].caller == caller.id and ended[0].status:
        outcome = ended[0]
        body = await read_pieces(server, f"job/{ask.id}/{outcome.attempt}", outcome.pieces)
        if body is not None:
            until = formatdate(outcome.expires // 1_000_000, usegmt=True)
            return Answer(outcome.status, body, headers=(("Expires", until),))
    if ended is not None or kept is None or kept[0].caller != caller.id:
        raise _unknown(ask.id)
    job = kept[0]
    if job.lease < server.clock():
        start(server, caller, ask.id, shapes)
    progress = f"{job.done} of {job.entries} entries done" if job.began else f"{job.entries} entries"
    return Answer(202, headers=(("X-Progress", progress), ("Retry-After", "1")))


async def forget(server: Server, caller: Caller, ask: Ask) -> Answer:
    """Cancel what has not ended, or drop the response: 202. Entries of a batch that were performed stay so.

    Raises FhirError 404 as `status` does.
    """
    kept = await read_job(server, ask.id)
    ended = await read_outcome(server, ask.id)
    if kept is not None and ended is None and kept[0].caller == caller.id:
        job = kept[0]
        if await write_outcome(server.store, ask.id, Outcome(caller.id, expires=job.expires)):
            await close_job(server, ask.id, job)  # whoever works on it loses its lease
            for task in server.jobs:
                if task.get_name() == ask.id:
                    task.cancel()
            return Answer(202)
        ended = await read_outcome(server, ask.id)  # it ended at this moment
    if ended is None or ended[0].caller != caller.id or not ended[0].status:
        raise _unknown(ask.id)
    outcome, version = ended
    await write_outcome(server.store, ask.id, Outcome(caller.id, expires=outcome.expires), version)
    await drop_pieces(server, f"job/{ask.id}/{outcome.attempt}", outcome.pieces)
    return Answer(202)


def _unknown(id: str) -> FhirError:
    return refuse(404, "not-found", f"There is no job {id[:64]!r}: it was cancelled, has expired, or never was.")
