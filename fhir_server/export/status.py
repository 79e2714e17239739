"""How an export stands, its manifest, and its end. https://hl7.org/fhir/uv/bulkdata/STU2/export.html#bulk-data-status-request"""

from email.utils import formatdate
from time import monotonic
from typing import Any

from fhir_server.access import Caller
from fhir_server.export.files import remove
from fhir_server.export.job import EXPORTS, Export, File
from fhir_server.export.perform import parts_of
from fhir_server.export.run import cancel
from fhir_server.fhir import codec
from fhir_server.fhir.dates import instant
from fhir_server.fhir.outcome import FhirError, Issue, operation_outcome, refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.server import Server

AGAIN = 2  # seconds after which a client should ask again
WINDOW, POLLS = 10.0, 30  # seconds, and polls of one export in them beyond which the answer is 429
SECOND = 1_000_000
NDJSON = "application/fhir+ndjson"


async def export_status(server: Server, caller: Caller, ask: Ask) -> Answer:
    """202 with X-Progress while it lasts, then the manifest, or the refusal that ended it.

    Raises FhirError 404 for an export that there is not, that has expired, or of another client; 429 for impatience.
    """
    job = await require_export(server, caller, ask.id)
    polls = polls_of(server, ask.id)
    if not job.ended or (polls == 1 and job.kicked > server.clock() - 5 * SECOND):
        require_patience(polls)
        # Clients expect to wait: whatever is done at once is told with the second answer.
        return Answer(202, headers=(("X-Progress", progress(server, job)), ("Retry-After", str(AGAIN))))
    if job.failed is not None:
        issue = Issue(job.failed.code, job.failed.text, job.failed.at)
        return Answer(job.status, codec.encode(operation_outcome([issue])))
    until = formatdate(job.expires // SECOND, usegmt=True)
    return Answer(
        200, codec.encode(manifest(server, ask.id, job)), headers=(("Expires", until),), type="application/json"
    )


def require_patience(polls: int) -> None:
    """Raise FhirError 429 for too many polls."""
    if polls > POLLS:
        raise refuse(429, "throttled", f"Ask again in {WINDOW:.0f} seconds, then every {AGAIN}.", Retry_After="10")


def polls_of(server: Server, id: str) -> int:
    """How often this process was asked in the last WINDOW seconds at most."""
    began, count = server.polls.get(id) or (monotonic(), 0)
    if monotonic() - began > WINDOW:
        began, count = monotonic(), 0
    server.polls.put(id, (began, count + 1), WINDOW)
    return int(count) + 1


async def forget_export(server: Server, caller: Caller, ask: Ask) -> Answer:
    """Cancel an export or let go of its files: 202. Raises FhirError 404 as `export_status` does."""
    await require_export(server, caller, ask.id)
    await EXPORTS.drop(server, ask.id)
    cancel(server, ask.id)
    remove(server, ask.id)
    return Answer(202)


async def require_export(server: Server, caller: Caller, id: str) -> Export:
    """The caller's export. Raises FhirError 404, the same for one that there is not and for another's."""
    kept = await EXPORTS.read(server, id)
    if kept is None or kept[0].caller != caller.id or kept[0].expires <= server.clock():
        raise unknown(id)
    return kept[0]


def unknown(id: str) -> FhirError:
    """The 404 of an export, or of one of its files."""
    return refuse(404, "not-found", f"There is no export {id[:64]!r}: it was deleted, has expired, or never was.")


def progress(server: Server, job: Export) -> str:
    """What X-Progress says: a percentage first, then at what and how fast."""
    if not job.at:
        return "0 % (waiting for its turn)"
    parts = parts_of(job)
    kind, type = parts[min(job.part, len(parts) - 1)]
    passed = sum(job.totals.get(type, 0) for kind, type in parts[: job.part] if kind == "output")
    done = min(99, 100 * (passed + job.here) // max(sum(job.totals.values()), 1))
    rate = job.written * SECOND // max(server.clock() - job.began, SECOND)
    return f"{done} % ({type if kind == 'output' else kind}, {job.written} resources, {rate}/s)"


def manifest(server: Server, id: str, job: Export) -> dict[str, Any]:
    """The answer when all is there; nothing in it depends on how often the work was interrupted."""

    def listed(kind: str) -> list[dict[str, Any]]:
        return [_item(server, id, file) for file in job.files if file.kind == kind]

    found: dict[str, Any] = {
        "transactionTime": instant(job.at),
        "request": job.request,
        "requiresAccessToken": job.secured,
        "output": listed("output"),
    }
    if job.wish.since is not None:
        found["deleted"] = listed("deleted")
    return {**found, "error": listed("error")}


def _item(server: Server, id: str, file: File) -> dict[str, Any]:
    return {"type": file.type, "url": f"{server.settings.base}/_export/{id}/{file.name}", "count": file.count}
