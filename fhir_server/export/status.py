"""How an export stands, and its end. https://hl7.org/fhir/uv/bulkdata/STU3/export.html#bulk-data-status-request"""

from email.utils import formatdate
from http import HTTPStatus
from time import monotonic

from fhir_server.access import Caller
from fhir_server.export.files import remove
from fhir_server.export.job import EXPORTS, Export
from fhir_server.export.manifest import NDJSON, manifest
from fhir_server.export.perform import parts_of
from fhir_server.export.run import cancel
from fhir_server.fhir import codec
from fhir_server.fhir.outcome import FhirError, Issue, operation_outcome, refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.server import Server

AGAIN = 2  # seconds after which a client should ask again
WINDOW, POLLS = 10.0, 30  # seconds, and polls of one export in them beyond which the answer is 429
SECOND = 1_000_000
JSON = "application/json"

__all__ = ["NDJSON"]


async def export_status(server: Server, caller: Caller, ask: Ask) -> Answer:
    """202 with X-Progress while it lasts, then the manifest, or the refusal that ended it; of a manifest in pages one.

    Raises FhirError 404 for an export or a page that there is not, that has expired, or of another client; 429 for
    impatience.
    """
    job, number = await require_export(server, caller, ask.id), _page(ask)
    found = _stands(server, ask.id, job, number)
    if not job.separate:
        return found
    told = f"{found.status} {HTTPStatus(found.status).phrase}"
    return found._replace(status=200, headers=(*found.headers, ("X-Export-Status", told)))


def _stands(server: Server, id: str, job: Export, number: int) -> Answer:
    polls = polls_of(server, id)
    if not job.ended or (number == 1 and polls == 1 and job.kicked > server.clock() - 5 * SECOND):
        require_patience(polls)
        # Clients expect to wait: whatever is done at once is told with the second answer.
        headers = (("X-Progress", progress(server, job)), ("Retry-After", str(AGAIN)))
        page = manifest(server, id, job, number) if job.wish.partial and job.failed is None else None
        return Answer(202, codec.encode(page) if page else b"", headers=headers, type=JSON if page else "")
    if job.failed is not None:
        issue = Issue(job.failed.code, job.failed.text, job.failed.at)
        return Answer(job.status, codec.encode(operation_outcome([issue])))
    page = manifest(server, id, job, number)
    if page is None:
        raise refuse(404, "not-found", f"The manifest of this export has no page {number}.")
    until = formatdate(job.expires // SECOND, usegmt=True)
    return Answer(200, codec.encode(page), headers=(("Expires", until),), type=JSON)


def _page(ask: Ask) -> int:
    """Which page of the manifest is asked for. Raises FhirError 404 for what is no number."""
    text = dict(ask.query).get("page", "1")
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text)):
        raise refuse(404, "not-found", f"The manifest has no page {text[:20]!r}.")
    return int(text)


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
    await remove(server, ask.id)
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
