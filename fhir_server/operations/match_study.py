"""ResearchStudy/$match: trials for a record that the caller brings; nothing is stored. See docs/operations/match.md

Name and inputs are those of CodeX's Integrated Trial Matching: https://github.com/mcode/clinical-trial-matching-service
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from fhir_server.access import Caller, restrict
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import Issue, refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.may import require
from fhir_server.matching.evaluate import Memo
from fhir_server.matching.facts import Facts
from fhir_server.matching.genes import genes_of
from fhir_server.matching.people import deceased
from fhir_server.matching.permission import Permission, brought
from fhir_server.matching.reading import facts_of
from fhir_server.matching.score import matched, scored
from fhir_server.matching.sites import Distances, distances
from fhir_server.matching.studies import RECRUITING, read_studies
from fhir_server.operations.inputs import Inputs
from fhir_server.operations.matches import Ranked, answered, paged, statuses
from fhir_server.server import Server

RECORD = "trialMatchClinicalData"
TAKES = {
    RECORD: "resource",
    "zipCode": "string",
    "travelRadius": "string",
    "phase": "codes",
    "recruitmentStatus": "codes",
    "status": "codes*",
    "date": "date",
    "_count": "count",
}
ANY = "any"


async def match_study(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """A searchset of ResearchStudy, best first, without pages. Raises FhirError 400, 403 or 422."""
    require(caller, "ResearchStudy", "s")
    outcomes = statuses(given)
    facts, permission, issues = _facts(server, given)
    near = await _near(server, given)
    issues += near.issues if near else []
    recruiting = given.get("recruitmentStatus", ("active",))
    studies = []
    if facts is not None and {"active", ANY} & set(recruiting):
        studies = await read_studies(server, restrict(RECRUITING, caller, ("ResearchStudy",)))
    now = server.clock()
    found = []
    memo: Memo = {}
    for study, stored in studies:
        body = codec.decode(stored.body)
        if not study.open or not _of_phase(body, given.get("phase", (ANY,))) or (near and not near.reaches(body)):
            continue
        if permission is not None and not permission.of_study(study.id):
            continue
        assert facts is not None
        pair = study, facts, server.terminology, given["date"][0] if "date" in given else now, memo
        outcome, score = scored(*pair)
        if outcome in outcomes:
            found.append(Ranked(stored, score, partial(matched, *pair)))
    count = min(given.get("_count", server.settings.max_page_size), server.settings.max_page_size)
    page = paged(found, None, count)._replace(next=None)
    return answered(server, caller, ask, "ResearchStudy/$match", (), page, (), issues)


class _Entry(NamedTuple):
    """A resource of the given Bundle; `names` are what references to it may say."""

    resource: Resource
    names: tuple[str, ...]


def _facts(server: Server, given: Inputs) -> tuple[Facts | None, Permission | None, list[Issue]]:
    """The facts of the record that was brought, and what Consents in it permit (None: it holds none); no facts if these
    or a death forbid to match."""
    given_bundle: Resource = given.get(RECORD, {})
    if given_bundle.get("resourceType") != "Bundle":
        raise refuse(400, "required", f"$match needs {RECORD}: a Bundle of one patient's record.", RECORD)
    server.validate({key: value for key, value in given_bundle.items() if key not in ("id", "meta")})
    entries = [_entry(one, number) for number, one in enumerate(given_bundle.get("entry", ())) if "resource" in one]
    people = [entry for entry in entries if entry.resource["resourceType"] == "Patient"]
    if len(people) != 1:
        text = f"{RECORD} must hold one Patient, and holds {len(people)}."
        raise refuse(422, "invariant", text, f"{RECORD}.entry")
    patient = people[0].resource
    consents = [entry.resource for entry in entries if entry.resource["resourceType"] == "Consent"]
    permission = brought(server, patient, consents, server.clock()) if consents else None
    if permission and not (permission.general or any(map(permission.of_study, permission.named))):
        text = "The Consents of this record do not permit matching with trials (purpose CLINTRCH)."
        return None, None, [Issue("suppressed", text, severity="information")]
    if deceased(patient):
        return None, None, [Issue("informational", "The patient is recorded as deceased.", severity="information")]
    others = [(_of(people[0], entry).resource, 0) for entry in entries if entry.resource is not patient]
    known: Mapping[str, Resource] = {name: entry.resource for entry in entries for name in entry.names}
    return facts_of(patient, 0, others, genes_of(server.terminology), known.get), permission, []


def _of(patient: _Entry, entry: _Entry) -> _Entry:
    """The entry itself. Raises FhirError 422 if it says that it is about somebody else."""
    about = entry.resource.get("subject", {}).get("reference", "")
    if about and about not in patient.names:
        text = f"{entry.names[1]} is about {about[:80]!r}, which is not the Patient of the Bundle."
        raise refuse(422, "invariant", text, f"{RECORD}.entry")
    return entry


def _entry(entry: Mapping[str, Any], number: int) -> _Entry:
    resource = entry["resource"]
    resource = {**resource, "id": resource.get("id", f"entry-{number}")}
    return _Entry(resource, (entry.get("fullUrl", ""), f"{resource['resourceType']}/{resource['id']}"))


async def _near(server: Server, given: Inputs) -> Distances | None:
    """How far sites are from the postal code; None if the caller does not ask."""
    if "zipCode" not in given and "travelRadius" not in given:
        return None
    if "zipCode" not in given or "travelRadius" not in given:
        raise refuse(400, "required", "zipCode and travelRadius (in miles) are given together.")
    try:
        miles = float(given["travelRadius"])
    except ValueError:
        miles = -1.0
    if not 0 <= miles <= 25_000:
        raise refuse(400, "value", "travelRadius must be a number of miles.", "travelRadius")
    return await distances(server, given["zipCode"].strip(), miles)


def _of_phase(study: Resource, asked: tuple[str, ...]) -> bool:
    """Whether a study is of one of the phases: phase-1-phase-2 is of both. One that names no phase fits any."""
    has = {part for c in study.get("phase", {}).get("coding", ()) for part in _phases(c.get("code", ""))}
    return ANY in asked or not has or any(part in has for phase in asked for part in _phases(phase))


def _phases(code: str) -> list[str]:
    numbers = [] if code.startswith("early-") else [part for part in code.split("-") if part.isdigit()]
    return [f"phase-{number}" for number in numbers] or [code]
