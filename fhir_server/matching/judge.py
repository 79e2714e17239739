"""Which candidates patients should have: consent first, then the record, then every study. See docs/matching.md."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from fhir_server.access.consent import Decision, permits
from fhir_server.matching.candidates import PREFIX, Wanted, pair_id, taken_by_person
from fhir_server.matching.criteria import Study
from fhir_server.matching.evaluate import evaluate_study, fails
from fhir_server.matching.explain import guidance, silent
from fhir_server.matching.facts import Facts, facts_of
from fhir_server.matching.genes import genes_of
from fhir_server.matching.records import ASKED, Held, Versioned, held, medications, of_patients, records
from fhir_server.server import Server

_NOTHING = Held()
_STATUS = {"met": "candidate", "unknown": "potential-candidate", "not-met": "ineligible"}


class Scope(NamedTuple):
    """The studies of a run; `whole` when they are all there are."""

    studies: Mapping[str, Study]
    whole: bool


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


async def judge(server: Server, scope: Scope, people: Iterable[Versioned]) -> list[Case]:
    """Judge some patients. Of those whose consent does not permit it, only Consent and ResearchSubject are read."""
    people = list(people)
    now = server.clock()
    ids = [patient["id"] for patient, _ in people]
    consents = await of_patients(server, ("Consent",), ids)
    subjects = await of_patients(server, ("ResearchSubject",), ids)
    decisions = {
        patient["id"]: permits(
            [consent for consent, _ in consents.get(patient["id"], ())], patient, ASKED, now, server.settings.adult_age
        )
        for patient, _ in people
    }
    alive = [patient["id"] for patient, _ in people if not _deceased(patient)]
    found = await records(server, [id for id in alive if decisions[id].permit])
    stored = await medications(server, found)
    ours = [row for rows in subjects.values() for row in rows if row[0]["id"].startswith(PREFIX)]
    kept = await held(server, ours)
    cases = []
    genes = genes_of(server.terminology)
    for patient, version in people:
        id = patient["id"]
        mine = {row[0]["id"]: kept[row[0]["id"]] for row in subjects.get(id, ()) if row[0]["id"] in kept}
        facts = None
        if decisions[id].permit and not _deceased(patient):
            facts = facts_of(patient, version, found.get(id, ()), genes, stored.get)
        person = _Person(id, facts, decisions[id], consents.get(id, []), subjects.get(id, []), mine)
        cases.append(_case(server, scope, person, now))
    return cases


def _deceased(patient: Mapping[str, object]) -> bool:
    return patient.get("deceasedBoolean") is True or "deceasedDateTime" in patient


class _Person(NamedTuple):
    """What is known of a patient; no facts when they must not, or need not, be looked at."""

    id: str
    facts: Facts | None
    decision: Decision
    consents: list[Versioned]
    subjects: list[Versioned]
    held: Mapping[str, Held]

    def deciding(self) -> tuple[str, ...]:
        """The Consents that decided, as versioned references."""
        deciding = {found.consent for found in self.decision.by}
        named = ((f"Consent/{consent['id']}", version) for consent, version in self.consents)
        return tuple(f"{reference}/_history/{version}" for reference, version in named if reference in deciding)


def _case(server: Server, scope: Scope, person: _Person, now: int) -> Case:
    open_ = [study for study in scope.studies.values() if study.open] if person.facts else []
    wanted: list[Wanted] = []
    untouched = 0
    for study in open_:
        before = person.held.get(pair_id(study.id, person.id), _NOTHING) if person.held else _NOTHING
        pair = _evaluated(server, study, person, before, now)
        if pair is None:
            continue
        if taken_by_person(before, person.subjects, study.id):
            untouched += pair.positive
        else:
            wanted.append(pair)
    wanted += _taken_back(scope, person, {study.id for study in open_}, now)
    versions = frozenset((consent["id"], version) for consent, version in person.consents)
    pairs = len(open_)
    return Case(person.id, person.facts is not None, pairs, untouched, tuple(wanted), person.held, versions, now)


def _evaluated(server: Server, study: Study, person: _Person, before: Held, now: int) -> Wanted | None:
    """What the pair should become; None when nothing is stored for it and nothing should be."""
    assert person.facts is not None
    if not before.ours and fails(study, person.facts, server.terminology, now):
        return None
    outcome, results = evaluate_study(study, person.facts, server.terminology, now)
    id = pair_id(study.id, person.id)
    sources = [f"ResearchStudy/{study.id}/_history/{study.version}"]
    sources += [group for result in results for group in result.groups]
    sources += [ref for result in results for judged in result.criteria for ref in judged.finding.evidence]
    reasons = guidance(id, study, person.id, outcome, results, now)
    return Wanted(study.id, person.id, _STATUS[outcome], reasons, tuple(sources), person.deciding())


def _taken_back(scope: Scope, person: _Person, judged: set[str], now: int) -> Iterator[Wanted]:
    """Candidates of earlier runs that no criteria speak for today: no consent, a death, a study that is not open."""
    for id, before in person.held.items():
        if not before.ours or before.subject is None:
            continue
        study = before.subject[0].get("study", {}).get("reference", "").removeprefix("ResearchStudy/")
        if study in judged or id != pair_id(study, person.id) or not (scope.whole or study in scope.studies):
            continue
        if not person.decision.permit:
            status, why = "withdrawn", "The patient's consent does not permit matching with trials."
        elif person.facts is None:
            status, why = "ineligible", "The patient is recorded as deceased."
        else:
            status, why = "ineligible", "The study is not open for matching."
        yield Wanted(study, person.id, status, silent(id, study, person.id, why, now), (), person.deciding())
