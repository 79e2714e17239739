"""The Task that asks the ordering physician to look at a genomic report, in the transaction that brings it.

One Task for each content that a report has had: a corrected report is reviewed like a new one, and what is sent twice
is asked about once. https://hl7.org/fhir/R4/task.html
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.access.gate import KIND, PREFIX, REVIEW, is_genomic, is_unfinished, local, review_id
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import DAY, instant
from fhir_server.fhir.outcome import refuse
from fhir_server.search.predicate import Entry, Is, Param
from fhir_server.store.seam import Change, Query, Tx

FOCUS = Param("focus", "reference")
# Who may be asked: roles and teams as well as persons, but nobody whose record it is.
CLINICIANS = ("Practitioner/", "PractitionerRole/", "CareTeam/", "Organization/")
ENDED = frozenset({"completed", "cancelled", "rejected", "failed", "entered-in-error"})
_TEXT = "A genomic report has arrived. Look at it, then set this Task to completed: the participant sees the report"
_REPLACED = {"text": "A later version of the report is to be reviewed."}


@dataclass(frozen=True, slots=True)
class ReviewGuard:
    """A Guard (access/write.py) that asks for the review of every genomic report that is written."""

    index: Callable[[Resource], tuple[Entry, ...]]
    clock: Callable[[], int]
    days: int  # until the participant sees it all the same; 0: at once

    async def check(self, tx: Tx, changes: Sequence[Change]) -> None:
        """Write the Tasks that are missing. Raises FhirError 409 if a review is being deleted."""
        if any(one.type == "Task" and one.method == "DELETE" and one.id.startswith(PREFIX) for one in changes):
            raise refuse(409, "business-rule", "The review of a report is not deleted: set its status instead.")
        reports = {one.id: one for one in changes if one.type == "DiagnosticReport"}
        for change in reports.values():
            if change.method != "DELETE":
                await self._ask(tx, codec.decode(change.body))

    def committed(self, changes: Sequence[Change]) -> None:
        """Nothing follows."""

    async def _ask(self, tx: Tx, report: Resource) -> None:
        patient = local(report.get("subject", {}).get("reference", ""))
        if not patient.startswith("Patient/") or is_unfinished(report):
            return
        where = Is(FOCUS, (("type", "=", "DiagnosticReport"), ("id", "=", report["id"])))
        rows = (await tx.search(Query(("Task",), where, count=1000))).rows
        earlier = {row.id: row for row in rows if row.id.startswith(PREFIX)}
        # Withdrawn reports too: what they said may be wrong, and nobody has looked. One that says nothing of genes any
        # more is reviewed if what it said before was to be.
        if review_id(report) in earlier or not (earlier or is_genomic(report)):
            return
        now = max(self.clock(), tx.began)
        for row in earlier.values():
            task = codec.decode(row.body)
            if task["status"] not in ENDED:
                task |= {"status": "cancelled", "statusReason": _REPLACED}
                await self._write(tx, task, row.version + 1, max(now, row.updated))
        await self._write(tx, await _request(tx, report, patient, self.days, now), 1, now)

    async def _write(self, tx: Tx, task: Resource, version: int, now: int) -> None:
        meta = {**task.get("meta", {}), "versionId": str(version), "lastUpdated": instant(now)}
        whole = {"resourceType": "Task", "id": task["id"], "meta": meta} | {
            k: v for k, v in task.items() if k != "meta"
        }
        method = "POST" if version == 1 else "PUT"
        body = codec.encode(whole)
        await tx.write(Change("Task", task["id"], version, now, method, body, self.index(whole)))


async def _request(tx: Tx, report: Resource, patient: str, days: int, now: int) -> Resource:
    owner = await physician(tx, report, patient)
    ordered = [one for one in _named(report.get("basedOn")) if one.startswith("ServiceRequest/")]
    end = instant(now + days * DAY)
    text = f"{_TEXT} then, or on {end[:10]}." if days else f"{_TEXT} already."
    return {
        "resourceType": "Task",
        "id": review_id(report),
        **({"basedOn": [{"reference": one} for one in ordered]} if ordered else {}),
        "status": "requested",
        "intent": "order",
        "code": {"coding": [{"system": KIND, "code": REVIEW}]},
        "description": text,
        "focus": {"reference": f"DiagnosticReport/{report['id']}"},
        "for": {"reference": patient},
        "authoredOn": instant(now),
        **({"owner": {"reference": owner}} if owner else {}),
        **({"restriction": {"period": {"end": end}}} if days else {}),
    }


async def physician(tx: Tx, report: Resource, patient: str) -> str:
    """Whom to ask: who ordered the report, else who is named to interpret it, else the general practitioner; "" if
    none is recorded."""
    named: list[str] = []
    for order in _named(report.get("basedOn")):
        if order.startswith("ServiceRequest/"):
            named += _named((await _body(tx, order)).get("requester"))
    named += _named(report.get("resultsInterpreter"))
    found = next((one for one in named if one.startswith(CLINICIANS)), "")
    if found:
        return found
    carers = _named((await _body(tx, patient)).get("generalPractitioner"))
    return next((one for one in carers if one.startswith(CLINICIANS)), "")


async def _body(tx: Tx, reference: str) -> Mapping[str, Any]:
    type, _, id = reference.partition("/")
    row = await tx.read(type, id)
    return codec.decode(row.body) if row is not None and not row.deleted else {}


def _named(value: Any) -> list[str]:
    listed = value if isinstance(value, list) else [value] if value else []
    return [local(one["reference"]) for one in listed if "reference" in one]
