"""Which candidates patients should have: consent first, then the record, then every study. See docs/matching.md."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from fhir_server.matching.candidates import PREFIX, Wanted, pair_id, taken_by_person
from fhir_server.matching.contact import request
from fhir_server.matching.criteria import Leaf, Study
from fhir_server.matching.due import due
from fhir_server.matching.evaluate import Memo, Result, evaluate_study
from fhir_server.matching.explain import guidance, silent
from fhir_server.matching.kinds import HasDiagnosis
from fhir_server.matching.people import Person, look
from fhir_server.matching.population import Population
from fhir_server.matching.records import Held, Versioned, held, of_patients
from fhir_server.server import Server
from fhir_server.terminology.codes import Concept

_NOTHING = Held()
_STATUS = {"met": "candidate", "unknown": "potential-candidate", "not-met": "ineligible"}


class Scope(NamedTuple):
    """The studies of a run; `whole` when they are all there are."""

    studies: Mapping[str, Study]
    whole: bool
    asked: frozenset[Concept]  # what Observations they ask about
    timed: tuple[Leaf, ...] = ()  # the criteria that say when a patient is due; empty if nobody asks


class Case(NamedTuple):
    """One patient judged: what should be stored, what is, and the Consents (id, version) it was judged under."""

    patient: str
    permitted: bool
    pairs: int
    untouched: int
    wanted: tuple[Wanted, ...]
    held: Mapping[str, Held]
    consents: frozenset[tuple[str, int]]
    now: int
    due: frozenset[int]  # when time alone may change it


async def judge(server: Server, scope: Scope, people: Iterable[Versioned]) -> list[Case]:
    """Judge some patients. Of those whose consent does not permit it, only Consent and ResearchSubject are read."""
    people = list(people)
    now = server.clock()
    subjects = await of_patients(server, ("ResearchSubject",), [patient["id"] for patient, _ in people])
    ours = [row for rows in subjects.values() for row in rows if row[0]["id"].startswith(PREFIX)]
    kept = await held(server, ours)
    persons = await look(server, people, scope.asked, now)
    looked_at = [person for person in persons if person.facts is not None]
    population = Population([person.facts for person in looked_at if person.facts], server.terminology, now)
    fitting = {id: population.of_study(study).possible for id, study in scope.studies.items() if study.open}
    places = {person.id: number for number, person in enumerate(looked_at)}
    cases = []
    for person in persons:
        mine = subjects.get(person.id, [])
        own = {row[0]["id"]: kept[row[0]["id"]] for row in mine if row[0]["id"] in kept}
        bit = 1 << places[person.id] if person.id in places else 0
        known = _Known(person, mine, own, frozenset(id for id, sets in fitting.items() if sets & bit))
        cases.append(_case(server, scope, known, now))
    return cases


class _Known(NamedTuple):
    """A person, every ResearchSubject of them, what the matcher wrote for them, and the studies they may fit."""

    person: Person
    subjects: list[Versioned]
    held: Mapping[str, Held]
    fitting: frozenset[str]


def _case(server: Server, scope: Scope, known: _Known, now: int) -> Case:
    person = known.person
    open_ = [study for study in scope.studies.values() if study.open and person.may(study.id)]
    wanted: list[Wanted] = []
    memo: Memo = {}
    untouched = 0
    for study in open_:
        if study.id not in known.fitting and not known.held:
            continue
        before = known.held.get(pair_id(study.id, person.id), _NOTHING)
        if study.id not in known.fitting and not before.ours:
            continue
        pair = _evaluated(server, study, person, before, now, memo)
        if pair is None:
            continue
        if taken_by_person(before, known.subjects, study.id):
            untouched += pair.positive
        else:
            wanted.append(pair)
    wanted += _taken_back(scope, known, {study.id for study in open_}, now)
    versions = frozenset((consent["id"], version) for consent, version in person.consents)
    pairs = len(open_)
    again = frozenset(due(person, scope.timed, now))
    permitted = person.facts is not None
    return Case(person.id, permitted, pairs, untouched, tuple(wanted), known.held, versions, now, again)


def _evaluated(server: Server, study: Study, person: Person, before: Held, now: int, memo: Memo) -> Wanted | None:
    """What a pair that may fit, or is stored, should become; None for neither a candidate nor one to take back."""
    assert person.facts is not None
    outcome, results = evaluate_study(study, person.facts, server.terminology, now, memo)
    near = outcome != "unknown" or any(promising(result, server.settings.match_unknowns) for result in results)
    if not (near or before.ours):
        return None
    id = pair_id(study.id, person.id)
    sources = [f"ResearchStudy/{study.id}/_history/{study.version}"]
    sources += [group for result in results for group in result.groups]
    sources += [ref for result in results for judged in result.criteria for ref in judged.finding.evidence]
    reasons = guidance(id, study, person.id, outcome, results, now)
    status = _STATUS[outcome] if near else "ineligible"
    task = request(id, study.id, study.title, person, now) if status == "candidate" else None
    return Wanted(study.id, person.id, status, reasons, tuple(sources), person.deciding(), task)


def promising(result: Result, most: int) -> bool:
    """Whether what is unknown is worth a potential candidate: no diagnosis is, and at most so many criteria are."""
    if result.outcome != "unknown":
        return False
    unknown = sum(judged.depth == 0 and judged.finding.outcome == "unknown" for judged in result.criteria)
    kinds = (judged.node.test for judged in result.criteria if judged.open and isinstance(judged.node, Leaf))
    return unknown <= most and not any(isinstance(test, HasDiagnosis) for test in kinds)


def _taken_back(scope: Scope, known: _Known, judged: set[str], now: int) -> Iterator[Wanted]:
    """Candidates of earlier runs that no criteria speak for today: no consent, a death, a study that is not open."""
    person = known.person
    for id, before in known.held.items():
        if not before.ours or before.subject is None:
            continue
        study = before.subject[0].get("study", {}).get("reference", "").removeprefix("ResearchStudy/")
        if study in judged or id != pair_id(study, person.id) or not (scope.whole or study in scope.studies):
            continue
        if not person.permission.of_study(study):
            status, why = "withdrawn", "The patient's consent does not permit matching with trials."
        elif person.facts is None:
            status, why = "ineligible", "The patient is recorded as deceased."
        else:
            status, why = "ineligible", "The study is not open for matching."
        yield Wanted(study, person.id, status, silent(id, study, person.id, why, now), (), person.deciding())
