"""Patient/[id]/$match-trials: which recruiting trials fit a patient, which may, and why. See docs/operations/match.md

Whoever may see the patient, the studies and GuidanceResponses of the patient may ask. The record is read as the matcher
reads it: only under the patient's consent to clinical trial research, whoever asks.
https://hl7.org/fhir/R4/guidanceresponse.html
"""

from functools import partial

from fhir_server.access import READ, Caller, permitted, restrict
from fhir_server.access.asking import released_to
from fhir_server.fhir import codec
from fhir_server.fhir.outcome import Issue
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.may import require
from fhir_server.interactions.pages import PARAMETER, unseal
from fhir_server.interactions.visible import not_found
from fhir_server.matching.criteria import Study, asked
from fhir_server.matching.evaluate import Memo, fails
from fhir_server.matching.people import Person, look
from fhir_server.matching.records import FACTUAL
from fhir_server.matching.score import matched, scored
from fhir_server.matching.studies import RECRUITING, Registered, read_studies
from fhir_server.operations.everything import present
from fhir_server.operations.inputs import Inputs, inputs
from fhir_server.operations.matches import COMMON, Page, Ranked, answered, enrolled, identified, paged, said, statuses
from fhir_server.search.predicate import ID, Is, Predicate
from fhir_server.server import Server

TAKES = {"study": "reference", **COMMON}


async def match_trials(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """A searchset of ResearchStudy, best first. Raises FhirError 404, 410, 403, or 400 for a bad parameter."""
    require(caller, "ResearchStudy", "s")
    require(caller, "GuidanceResponse", "r")
    row = await present(server, caller, ask.id)
    path = f"Patient/{ask.id}/$match-trials"
    query, after = said(ask, TAKES), None
    if PARAMETER in given:
        place = unseal(server, caller, path, given[PARAMETER])
        query, after = place.query, place.position
        given = inputs(Ask(query=query), TAKES)
    outcomes = statuses(given)
    count = min(given.get("_count", server.settings.page_size), server.settings.max_page_size)
    studies, issues = await _studies(server, caller, given)
    now = server.clock()
    when = given["date"][0] if "date" in given else now
    patient = codec.decode(row.body)
    codes = asked(registered.study for registered in studies)
    named = {registered.study.id for registered in studies}
    readable = permitted(caller, FACTUAL, READ)
    (person,) = await look(server, [(patient, row.version)], codes, named, now, readable, released_to(caller))
    if not person.known:
        issues = [Issue("suppressed", why_not(person, ask.id), severity="information")]
        issues = issues if concerned(caller, ask.id) else []
        return answered(server, caller, ask, path, query, Page((), None, 0), (), issues)
    found = []
    memos: dict[int, Memo] = {}  # by identity of the facts
    for study, stored in studies:
        facts = person.facts(study.id)
        if not study.open or facts is None:
            continue
        memo = memos.setdefault(id(facts), {})
        if "not-met" not in outcomes and fails(study, facts, server.terminology, when, memo):
            continue  # most do, at their first criteria
        pair = study, facts._replace(id=ask.id), server.terminology, when, memo
        outcome, score = scored(*pair)
        if outcome in outcomes:
            found.append(Ranked(stored, score, partial(matched, *pair)))
    page = paged(found, after, count)
    subjects = await enrolled(server, caller, page.rows, person.ids)
    return answered(server, caller, ask, path, query, page, subjects, issues)


async def _studies(server: Server, caller: Caller, given: Inputs) -> tuple[list[Registered], list[Issue]]:
    """The recruiting studies that the caller may see; of a study that was named, also why it cannot be matched."""
    if "study" not in given:
        return await read_studies(server, restrict(RECRUITING, caller, ("ResearchStudy",))), []
    id = identified("ResearchStudy", given["study"], server.settings.base)
    named: Predicate = Is(ID, (("id", "=", id),))
    studies = await read_studies(server, restrict(named, caller, ("ResearchStudy",)))
    if not studies:
        raise not_found("ResearchStudy", id)
    return studies, unmatchable(studies[0].study)


def unmatchable(study: Study) -> list[Issue]:
    """Why a study takes part in no match, as an issue; none if it does."""
    if study.open:
        return []
    if not study.active:
        return [Issue("informational", f"ResearchStudy/{study.id} is not recruiting.", severity="information")]
    texts = "; ".join(f"{problem.where}: {problem.text}" for problem in study.problems) or "no arm is open"
    text = f"ResearchStudy/{study.id} is not matched: {texts}."
    return [Issue("not-supported", text, severity="warning")]


def concerned(caller: Caller, patient: str) -> bool:
    """Whether the caller is told that matching is off: the patient, whom the patient is related to, or the operator.
    For all others nothing distinguishes it from a patient whom no trial fits."""
    user = caller.grant.user if caller.grant is not None else ""
    return caller.free or user == f"Patient/{patient}" or user.startswith("RelatedPerson/")


def why_not(person: Person, patient: str) -> str:
    """What keeps a person from being matched, and what would change it."""
    if person.deceased:
        return "The patient is recorded as deceased."
    if not person.permission.general:
        deciding = person.permission.deciding()
        by = f" by {', '.join(deciding)}" if deciding else ": no Consent permits it"
        return (
            f"Matching with trials is off{by}. To turn it on, store a Consent of scope 'research', status 'active', "
            "whose provision permits the purpose CLINTRCH (clinical trial research) of "
            f"http://terminology.hl7.org/CodeSystem/v3-ActReason, or say so with Patient/{patient}/$choose."
        )
    return "There is nothing to match."
