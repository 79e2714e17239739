"""Consent/$explain, Consent/$preview: who could see what, why, what would change. https://hl7.org/fhir/R4/consent.html"""

from collections.abc import Iterable, Iterator
from typing import Any

from fhir_server.access import READ, Caller, permitted
from fhir_server.access.explain import PURPOSES, Cell, matrix, recipients_of, requests, samples
from fhir_server.access.facts import Facts
from fhir_server.access.judging import POLICY, read_policy
from fhir_server.access.statements import Person, Statement, person_of, statement_of
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import refuse
from fhir_server.fhir.references import parse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.may import require
from fhir_server.interactions.visible import not_found
from fhir_server.operations.inputs import Inputs
from fhir_server.server import Server

EXPLAIN = {
    "patient": "reference",
    "resource": "reference*",
    "purpose": "string*",
    "recipient": "reference*",
    "study": "reference",
}
PREVIEW = {"resource": "resource"}
ACTIONS = frozenset({"access", "use"})


async def explain(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Parameters with a `decision` for each purpose, recipient and class of data, or resource, that was asked for.

    Raises FhirError 400 without a patient, 404 for what the caller does not see.
    """
    id = _id(server, given.get("patient", ""), "Patient")
    if id is None:
        raise refuse(400, "required", "Say whose: patient=Patient/[id].", "patient")
    person, statements = await _said(server, caller, id)
    now = server.consents.clock()
    data = await _data(server, caller, given.get("resource", ())) or samples(server.terminology, now)
    recipients = given.get("recipient") or recipients_of(statements, person, now, server.terminology)
    study = _id(server, given.get("study", ""), "ResearchStudy") or ""
    asked = requests(given.get("purpose") or PURPOSES, recipients, study, server.consents.treatment, ACTIONS)
    cells = matrix(statements, person, asked, data, now)
    return _parameters([*(_decision(cell) for cell in cells), *map(_fault, filter(lambda one: one.fault, statements))])


async def preview(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Parameters with a `change` for each purpose, recipient and class of data about which a Consent, if it were stored
    now, would decide otherwise than those that are. Nothing is stored. Raises FhirError 400, 404 or 422."""
    consent = given.get("resource")
    if consent is None or consent.get("resourceType") != "Consent":
        raise refuse(400, "required", "Give the Consent: as the body, or as the parameter resource.")
    server.validate({key: value for key, value in consent.items() if key != "meta"})
    id = _id(server, consent.get("patient", {}).get("reference", ""), "Patient")
    if id is None:
        raise refuse(422, "required", "The Consent must name its patient.", "Consent.patient")
    person, before = await _said(server, caller, id)
    read = statement_of({**consent, "id": consent.get("id", "preview")}, person)
    now = server.consents.clock()
    after = [one for one in before if read is None or one.reference != read.reference]
    after += [read._replace(rank=(read.rank[0], now))] if read is not None else []
    everyone = (*recipients_of(before, person, now, server.terminology),
                *recipients_of(after, person, now, server.terminology))  # fmt: skip
    asked = list(requests(PURPOSES, dict.fromkeys(everyone), "", server.consents.treatment, ACTIONS))
    data = samples(server.terminology, now)
    pairs = zip(matrix(before, person, asked, data, now), matrix(after, person, asked, data, now), strict=True)
    return _parameters(_change(old, new) for old, new in pairs if old.decision.permit != new.decision.permit)


async def _said(server: Server, caller: Caller, id: str) -> tuple[Person, tuple[Statement, ...]]:
    """The person and what they said, if the caller may read both the record and the Consents."""
    require(caller, "Patient", READ)
    patient = await server.store.read("Patient", id, permitted(caller, ("Patient",), READ))
    if patient is None or patient.deleted:
        raise not_found("Patient", id)
    found = await server.store.get_state(f"{POLICY}{id}")
    if found is None:
        return person_of([codec.decode(patient.body)], server.consents.adult_age), ()
    return read_policy(found[0])


async def _data(server: Server, caller: Caller, references: Iterable[str]) -> dict[str, Facts]:
    found: dict[str, Facts] = {}
    for reference in references:
        target = parse(reference, server.settings.base)
        if not target.local or target.type not in server.definitions.resources:
            raise refuse(400, "value", f"{reference[:80]!r} is no resource of this server.", "resource")
        require(caller, target.type, READ)
        row = await server.store.read(target.type, target.id, permitted(caller, (target.type,), READ))
        if row is None or row.deleted:
            raise not_found(target.type, target.id)
        found[f"{row.type}/{row.id}"] = Facts(codec.decode(row.body), server.terminology)
    return found


def _id(server: Server, reference: str, type: str) -> str | None:
    if "/" not in reference:
        return reference or None
    target = parse(reference, server.settings.base)
    return target.id if target.local and target.type == type else None


def _parameters(parts: Iterable[Resource]) -> Answer:
    listed = list(parts)
    return Answer(200, codec.encode({"resourceType": "Parameters", **({"parameter": listed} if listed else {})}))


def _decision(cell: Cell) -> Resource:
    reasons = [
        {
            "name": "reason",
            "part": [
                {"name": "consent", "valueReference": {"reference": found.consent}},
                {"name": "provision", "valueString": f"Consent.{found.at}"},
                {"name": "type", "valueCode": found.vote},
            ],
        }
        for found in cell.decision.by
    ]
    parts = [*_asked(cell), {"name": "permit", "valueBoolean": cell.decision.permit}]
    if cell.decision.deidentified:
        parts.append({"name": "deidentified", "valueBoolean": True})
    return {"name": "decision", "part": [*parts, *reasons]}


def _fault(statement: Statement) -> Resource:
    """A Consent that cannot permit anything, and why."""
    parts = [
        {"name": "consent", "valueReference": {"reference": statement.reference}},
        {"name": "fault", "valueString": statement.fault},
    ]
    return {"name": "denies-only", "part": parts}


def _change(old: Cell, new: Cell) -> Resource:
    changed = (("before", old.decision.permit), ("after", new.decision.permit))
    return {"name": "change", "part": [*_asked(new), *({"name": n, "valueBoolean": value} for n, value in changed)]}


def _asked(cell: Cell) -> Iterator[dict[str, Any]]:
    yield {"name": "purpose", "valueCode": cell.purpose}
    yield (
        {"name": "recipient", "valueReference": {"reference": cell.recipient}}
        if cell.recipient
        else {
            "name": "recipient",
            "valueReference": {"display": "anyone else"},
        }
    )
    if "/" in cell.data:
        yield {"name": "resource", "valueReference": {"reference": cell.data}}
    else:
        yield {"name": "data", "valueCode": cell.data}
