"""The people whom a report on a trial counts: whom the caller may see and whose consent permits matching.

https://hl7.org/fhir/R4/researchstudy.html
"""

from collections.abc import AsyncIterator
from typing import NamedTuple

from fhir_server.access import READ, Caller, permitted, restrict
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.visible import gone, not_found
from fhir_server.matching.criteria import Study, asked
from fhir_server.matching.people import look
from fhir_server.matching.records import FACTUAL, patients
from fhir_server.matching.score import Match, matched
from fhir_server.matching.studies import read_studies
from fhir_server.operations.match_trials import unmatchable
from fhir_server.search.predicate import EVERYTHING, ID, Is
from fhir_server.server import Server


class Counted(NamedTuple):
    """A person who is counted, and how they stand to the trial."""

    patient: Resource
    match: Match


async def reported(server: Server, caller: Caller, id: str) -> Study:
    """The study that a report is about. Raises FhirError 404, 410, 403; 422 if it cannot be matched."""
    row = await server.store.read("ResearchStudy", id, caller.permit("ResearchStudy", READ))
    if row is None:
        raise not_found("ResearchStudy", id)
    if row.deleted:
        raise gone("ResearchStudy", id)
    if not (caller.may("Patient", "s") or _own(caller, id)):
        text = "A report on a trial is for its own study team, and for those who may search for patients."
        raise refuse(403, "forbidden", text, WWW_Authenticate='Bearer error="insufficient_scope"')
    ((study, _),) = await read_studies(server, Is(ID, (("id", "=", id),)))
    for issue in unmatchable(study):
        raise refuse(422, "not-supported", issue.diagnostics)
    return study


def _own(caller: Caller, study: str) -> bool:
    """Whether the caller is the team of the study: its reports count everyone who permits matching with it."""
    return caller.grant is not None and caller.grant.role == "study-team" and caller.grant.study == study


async def counted(server: Server, caller: Caller, study: Study, when: int) -> AsyncIterator[Counted]:
    """Everyone who is counted, judged at clinical time `when` (µs)."""
    own = _own(caller, study.id)
    where = EVERYTHING if own else restrict(EVERYTHING, caller, ("Patient",))
    readable = EVERYTHING if own else permitted(caller, FACTUAL, READ)
    now, codes = server.clock(), asked([study])
    async for rows in patients(server, where):
        people = [(codec.decode(row.body), row.version) for row in rows]
        by_id = {patient["id"]: patient for patient, _ in people}
        for person in await look(server, people, codes, (study.id,), now, readable):
            facts = person.facts(study.id)
            if facts is not None and facts.id in by_id:  # each person once
                yield Counted(by_id[facts.id], matched(study, facts, server.terminology, when))
