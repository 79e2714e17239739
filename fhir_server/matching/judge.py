"""Which candidates patients should have: consent first, then the record, then every study. See docs/matching.md."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from typing import NamedTuple

from fhir_server.matching.candidates import PREFIX, Wanted, pair_id, taken_by_person
from fhir_server.matching.contact import request
from fhir_server.matching.criteria import Leaf, Study
from fhir_server.matching.due import due
from fhir_server.matching.evaluate import Memo, Result, evaluate_study, fails
from fhir_server.matching.explain import guidance, silent
from fhir_server.matching.kinds import HasDiagnosis
from fhir_server.matching.people import Person, look
from fhir_server.matching.permission import NO_STUDY
from fhir_server.matching.places import ones
from fhir_server.matching.population import population
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
    looked: Callable[[Person], None] = lambda person: None  # is told of everybody who is judged


class Case(NamedTuple):
    """One person judged: what should be stored, what is, and the Consents, as one value, it was judged under."""

    patient: str  # the one that leads
    permitted: bool
    pairs: int
    untouched: int
    wanted: tuple[Wanted, ...]
    held: Mapping[str, Held]
    policy: bytes | None
    now: int
    due: frozenset[int]  # when time alone may change it


async def judge(server: Server, scope: Scope, people: Iterable[Versioned]) -> list[Case]:
    """Judge the people that some Patients are, each once. Of those whose consent does not permit it, only Consent and
    ResearchSubject are read."""
    now = server.clock()
    persons = await look(server, people, scope.asked, scope.studies.keys(), now)
    for person in persons:
        scope.looked(person)
    subjects = await of_patients(server, ("ResearchSubject",), [id for person in persons for id in person.ids])
    ours = [row for rows in subjects.values() for row in rows if row[0]["id"].startswith(PREFIX)]
    kept = await held(server, ours)
    looked_at = [person for person in persons if NO_STUDY in person.known]
    everyone = population([person.known[NO_STUDY] for person in looked_at], server.terminology, now)
    fitting = {id: everyone.of_study(study).possible for id, study in scope.studies.items() if study.open}
    fits: dict[str, list[str]] = {person.id: [] for person in persons}
    for id, sets in fitting.items():
        for place in ones(sets):
            fits[looked_at[place].id].append(id)
    cases = []
    for person in persons:
        mine = [row for id in person.ids for row in subjects.get(id, ())]
        own = {row[0]["id"]: kept[row[0]["id"]] for row in mine if row[0]["id"] in kept}
        general = [id for id in fits[person.id] if id not in person.permission.named]
        may = dict.fromkeys([*general, *_fits_named(server, scope, person, now)])
        cases.append(_case(server, scope, _Known(person, mine, own, may, fitting.keys()), now))
        await asyncio.sleep(0)  # others are served meanwhile
    return cases


def _fits_named(server: Server, scope: Scope, person: Person, now: int) -> set[str]:
    """Of the studies that the person's Consents name those that may fit: for each they show a record of its own."""
    found = set()
    for id in person.permission.named & scope.studies.keys():
        study, facts = scope.studies[id], person.facts(id)
        if study.open and facts is not None and not fails(study, facts, server.terminology, now):
            found.add(id)
    return found


class _Known(NamedTuple):
    """A person, every ResearchSubject of them, what the matcher wrote for them, and the studies they may fit."""

    person: Person
    subjects: list[Versioned]
    held: Mapping[str, Held]
    fitting: Collection[str]
    open: Set[str]  # all studies that can have candidates

    @property
    def pairs(self) -> int:
        """With how many studies the person may be matched."""
        named = self.person.permission.named & self.open
        others = len(self.open) - len(named) if NO_STUDY in self.person.known else 0
        return others + len(named & self.person.known.keys())

    def studies(self) -> list[str]:
        """The studies of what the matcher wrote."""
        rows = (before.subject for before in self.held.values() if before.subject is not None)
        return [row[0].get("study", {}).get("reference", "").removeprefix("ResearchStudy/") for row in rows]

    def others(self) -> list[Versioned]:
        """The ResearchSubjects that a person keeps."""
        return [row for row in self.subjects if row[0]["id"] not in self.held or not self.held[row[0]["id"]].ours]


def _case(server: Server, scope: Scope, known: _Known, now: int) -> Case:
    person = known.person
    wanted: list[Wanted] = []
    memos: dict[int, Memo] = {}  # by identity of the facts
    others = known.others()
    untouched = 0
    for id in dict.fromkeys([*known.fitting, *known.studies()]):
        study = scope.studies.get(id)
        if study is None or not study.open or person.facts(id) is None:
            continue
        before = known.held.get(pair_id(id, person.id), _NOTHING)
        if id not in known.fitting and not before.ours:
            continue
        pair = _evaluated(server, study, person, before, now, memos)
        if pair is None:
            continue
        if taken_by_person(before, others, study.id):
            untouched += pair.positive
        else:
            wanted.append(pair)
    wanted += _taken_back(scope, known, now)
    again = frozenset(due(person, scope.timed, now))
    return Case(
        person.id, bool(person.known), known.pairs, untouched, tuple(wanted), known.held, person.policy, now, again
    )


def _evaluated(
    server: Server, study: Study, person: Person, before: Held, now: int, memos: dict[int, Memo]
) -> Wanted | None:
    """What a pair that may fit, or is stored, should become; None for neither a candidate nor one to take back."""
    facts = person.facts(study.id)
    assert facts is not None
    outcome, results = evaluate_study(study, facts, server.terminology, now, memos.setdefault(id(facts), {}))
    near = outcome != "unknown" or any(promising(result, server.settings.match_unknowns) for result in results)
    if not (near or before.ours):
        return None
    name = pair_id(study.id, person.id)
    sources = [f"ResearchStudy/{study.id}/_history/{study.version}"]
    sources += [group for result in results for group in result.groups]
    sources += [ref for result in results for judged in result.criteria for ref in judged.finding.evidence]
    reasons = guidance(name, study, person.id, outcome, results, now)
    status = _STATUS[outcome] if near else "ineligible"
    task = request(name, study.id, study.title, person, now) if status == "candidate" else None
    consents = person.permission.deciding(study.id)
    return Wanted(study.id, person.id, status, reasons, tuple(sources), consents, task)


def promising(result: Result, most: int) -> bool:
    """Whether what is unknown is worth a potential candidate: no diagnosis is, and at most so many criteria are."""
    if result.outcome != "unknown":
        return False
    unknown = sum(judged.depth == 0 and judged.finding.outcome == "unknown" for judged in result.criteria)
    kinds = (judged.node.test for judged in result.criteria if judged.open and isinstance(judged.node, Leaf))
    return unknown <= most and not any(isinstance(test, HasDiagnosis) for test in kinds)


def _taken_back(scope: Scope, known: _Known, now: int) -> Iterator[Wanted]:
    """Candidates of earlier runs that no criteria speak for today: no consent, a death, a study that is not open, a
    Patient that another leads."""
    person = known.person
    for id, before in known.held.items():
        if not before.ours or before.subject is None:
            continue
        study = before.subject[0].get("study", {}).get("reference", "").removeprefix("ResearchStudy/")
        patient = before.subject[0].get("individual", {}).get("reference", "").removeprefix("Patient/")
        leads = patient == person.id
        judged = study in scope.studies and scope.studies[study].open and person.facts(study) is not None
        if (leads and judged) or id != pair_id(study, patient) or not (scope.whole or study in scope.studies):
            continue
        if not person.permission.of_study(study):
            status, why = "withdrawn", "The patient's consent does not permit matching with trials."
        elif person.deceased:
            status, why = "ineligible", "The patient is recorded as deceased."
        elif not leads:
            status, why = "ineligible", "The same person is matched under another Patient."
        else:
            status, why = "ineligible", "The study is not open for matching."
        reasons = silent(id, study, patient, why, now)
        yield Wanted(study, patient, status, reasons, (), person.permission.deciding(study))
