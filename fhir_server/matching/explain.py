"""What a match rests on, for people and programs: GuidanceResponse and Provenance. https://hl7.org/fhir/R4/guidanceresponse.html

The module that was run is named by `moduleUri` with the study's relative URL. `moduleCanonical` would need a canonical
resource, which neither ResearchStudy nor Group is in R4: a Library for each study, without any logic of its own, would
have to be written and kept in step with it. Which version of the criteria was used stands in the Provenance.
"""

from collections.abc import Iterable
from typing import Any

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import instant
from fhir_server.matching.criteria import Leaf, Study
from fhir_server.matching.evaluate import Judged, Result
from fhir_server.matching.finding import Outcome
from fhir_server.matching.missing import ways

DEVICE_ID = "trial-matcher"
DEVICE: Resource = {
    "resourceType": "Device",
    "id": DEVICE_ID,
    "status": "active",
    "deviceName": [{"name": "Trial matcher", "type": "model-name"}],
}
OVERALL = {"met": "match", "not-met": "no-match", "unknown": "unknown"}
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"


def guidance(id: str, study: Study, patient: str, outcome: Outcome, results: Iterable[Result], now: int) -> Resource:
    """Every criterion of every arm with outcome, words, evidence and, where more data could decide, the action; for an
    unknown the least data that could make it a match (missing.py)."""
    results = tuple(results)
    criteria = [_criterion(judged, result, len(results) > 1) for result in results for judged in result.criteria]
    body = _frame(id, study.id, patient, "data-required" if outcome == "unknown" else "success", now)
    overall = {"name": "overall", "valueCode": OVERALL[outcome]}
    body["contained"] = [{"resourceType": "Parameters", "id": "why", "parameter": [overall, *criteria]}]
    body["outputParameters"] = {"reference": "#why"}
    if outcome == "unknown" and (found := ways(results)) and found[0].requirements:
        body["dataRequirement"] = found[0].requirements
    return body


def silent(id: str, study_id: str, patient: str, why: str, now: int) -> Resource:
    """The GuidanceResponse of a candidate that was taken back for a reason outside the criteria: it repeats no data."""
    return {**_frame(id, study_id, patient, "failure", now), "note": [{"text": why}]}


def _frame(id: str, study_id: str, patient: str, status: str, now: int) -> Resource:
    return {
        "resourceType": "GuidanceResponse",
        "id": id,
        "moduleUri": f"ResearchStudy/{study_id}",
        "status": status,
        "subject": {"reference": f"Patient/{patient}"},
        "occurrenceDateTime": instant(now),
        "performer": {"reference": f"Device/{DEVICE_ID}"},
    }


def _criterion(judged: Judged, result: Result, several: bool) -> Resource:
    node, finding = judged.node, judged.finding
    excluded = "Excluded: " if isinstance(node, Leaf) and node.exclude else ""
    parts: list[dict[str, Any]] = [
        {"name": "id", "valueString": node.id},
        {"name": "outcome", "valueCode": finding.outcome if finding.applies else "not-applicable"},
        {"name": "text", "valueString": f"{excluded}{finding.text}"},
    ]
    parts += [{"name": "evidence", "valueReference": {"reference": reference}} for reference in finding.evidence]
    if judged.open and finding.action:
        parts.append({"name": "action", "valueString": finding.action})
    if several:
        parts.append({"name": "arm", "valueString": result.arm or result.groups[0].split("/")[1]})
    return {"name": "criterion", "part": parts}


def provenance(id: str, targets: Iterable[str], sources: Iterable[str], consents: Iterable[str], now: int) -> Resource:
    """Who made a candidate, from which versions, under which Consents. https://hl7.org/fhir/R4/provenance.html"""
    body: Resource = {
        "resourceType": "Provenance",
        "id": id,
        "target": [{"reference": target} for target in targets],
        "recorded": instant(now),
        "reason": [{"coding": [{"system": ACT_REASON, "code": "CLINTRCH"}]}],
        "agent": [
            {
                "type": {"coding": [{"system": PARTICIPANT, "code": "assembler"}]},
                "who": {"reference": f"Device/{DEVICE_ID}"},
            }
        ],
    }
    consents = tuple(consents)
    if consents:
        body["policy"] = list(consents)
    unique = dict.fromkeys((*sources, *consents))
    if unique:
        body["entity"] = [{"role": "source", "what": {"reference": source}} for source in unique]
    return body
