"""ResearchStudy/[id]/$match-patients: which patients fit a trial, which may, and why. See docs/operations/match.md

Only patients are looked at whom the caller may see, and of them only those whose consent permits matching with trials:
the others leave no trace in the answer, nor in its total. https://hl7.org/fhir/R4/guidanceresponse.html
"""

from functools import partial

from fhir_server.access import READ, Caller, permitted, restrict
from fhir_server.fhir import codec
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.may import require
from fhir_server.interactions.pages import PARAMETER, unseal
from fhir_server.interactions.visible import gone, not_found
from fhir_server.matching.criteria import Study, asked
from fhir_server.matching.evaluate import fails
from fhir_server.matching.finding import Outcome
from fhir_server.matching.people import look
from fhir_server.matching.records import FACTUAL, patients
from fhir_server.matching.score import matched, scored
from fhir_server.matching.studies import read_studies
from fhir_server.operations.inputs import Inputs, inputs
from fhir_server.operations.match_trials import unmatchable
from fhir_server.operations.matches import COMMON, Ranked, answered, enrolled, paged, said, statuses
from fhir_server.search.predicate import EVERYTHING, ID, Is
from fhir_server.server import Server
from fhir_server.store.seam import Stored

TAKES = COMMON


async def match_patients(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """A searchset of Patient, best first. Raises FhirError 404, 410, 403, or 400 for a bad parameter."""
    require(caller, "Patient", "s")
    require(caller, "GuidanceResponse", "r")
    path = f"ResearchStudy/{ask.id}/$match-patients"
    query, after = said(ask, TAKES), None
    if PARAMETER in given:
        place = unseal(server, caller, path, given[PARAMETER])
        query, after = place.query, place.position
        given = inputs(Ask(query=query), TAKES)
    outcomes = statuses(given)
    count = min(given.get("_count", server.settings.page_size), server.settings.max_page_size)
    row = await server.store.read("ResearchStudy", ask.id, caller.permit("ResearchStudy", READ))
    if row is None:
        raise not_found("ResearchStudy", ask.id)
    if row.deleted:
        raise gone("ResearchStudy", ask.id)
    ((study, _),) = await read_studies(server, Is(ID, (("id", "=", ask.id),)))
    now = server.clock()
    found: list[Ranked] = []
    if study.open:
        found = await _found(server, caller, study, outcomes, now, given["date"][0] if "date" in given else now)
    page = paged(found, after, count)
    subjects = await enrolled(server, caller, page.rows)
    return answered(server, caller, ask, path, query, page, subjects, unmatchable(study))


async def _found(
    server: Server, caller: Caller, study: Study, outcomes: frozenset[Outcome], now: int, when: int
) -> list[Ranked]:
    """The patients with one of the outcomes."""
    found: list[Ranked] = []
    visible = restrict(EVERYTHING, caller, ("Patient",))
    readable = permitted(caller, FACTUAL, READ)
    async for rows in patients(server, visible):
        stored: dict[str, Stored] = {row.id: row for row in rows}
        people = [(codec.decode(row.body), row.version) for row in rows]
        for person in await look(server, people, asked([study]), (study.id,), now, readable):
            facts = person.facts(study.id)
            if facts is None or facts.id not in stored:  # of Patients that are joined only the one that leads is shown
                continue
            if "not-met" not in outcomes and fails(study, facts, server.terminology, when):
                continue
            outcome, score = scored(study, facts, server.terminology, when)
            if outcome in outcomes:
                explain = partial(matched, study, facts, server.terminology, when)
                found.append(Ranked(stored[facts.id], score, explain))
    return found
