"""Criteria against facts: met, not met or unknown, with evidence. https://hl7.org/fhir/R4/group.html"""

from collections import Counter
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from fhir_server.fhir.dates import DAY, bounds
from fhir_server.matching.criteria import Branch, Leaf, Node, Study
from fhir_server.matching.facts import ECOG, Diagnosis, Facts, Medication
from fhir_server.matching.finding import Finding, Outcome, at_least, dated, doubtful, negate
from fhir_server.matching.leaves import (
    PER_MEGABASE,
    HadMedication,
    HasAmount,
    HasDiagnosis,
    HasMsi,
    HasVariant,
    OfAge,
    Test,
    Unjudged,
)
from fhir_server.matching.values import Span, compare
from fhir_server.matching.variants import has_variant
from fhir_server.terminology.codes import Concept, Terminology, relation

_EPOCH = date(1970, 1, 1).toordinal()
_TUMOURS = frozenset({"http://oncotree.mskcc.org", "https://participation.example/fhir/CodeSystem/diagnosis-group"})


class Judged(NamedTuple):
    """A criterion or a group of them with its finding; `open` when it is unknown and to know it could change the
    outcome. `depth` is 0 for the characteristics of the arm's own Group; a group stands before its members."""

    node: Node
    finding: Finding
    open: bool
    depth: int


class Result(NamedTuple):
    """How a patient stands to one way into a study; every criterion in protocol order."""

    groups: tuple[str, ...]
    arm: str
    outcome: Outcome
    criteria: tuple[Judged, ...]


def evaluate_study(
    study: Study, facts: Facts, terminology: Terminology, now: int
) -> tuple[Outcome, tuple[Result, ...]]:
    """The outcome for the study (one way in is enough) and for each of its ways in, at time `now` (µs)."""
    today = date.fromordinal(_EPOCH + now // DAY)
    results = []
    for alternative in study.alternatives:
        criteria: list[Judged] = []
        outcome = _node(alternative.root, facts, terminology, today, criteria, 0)
        results.append(Result(alternative.groups, alternative.arm, outcome, tuple(criteria)))
    return at_least(1, [result.outcome for result in results]), tuple(results)


def fails(study: Study, facts: Facts, terminology: Terminology, now: int) -> bool:
    """Whether no way into the study is open to the patient: the same answer, without reasons, ten times as fast."""
    today = date.fromordinal(_EPOCH + now // DAY)
    return all(_quick(way.root, facts, terminology, today) == "not-met" for way in study.alternatives)


def _quick(node: Node, facts: Facts, terminology: Terminology, today: date) -> Outcome:
    if isinstance(node, Leaf):
        outcome = evaluate(node.test, facts, terminology, today).outcome
        return negate(outcome) if node.exclude else outcome
    met, possible = 0, len(node.parts)
    for part in node.parts:
        if met >= node.needed or possible < node.needed:
            break
        outcome = _quick(part, facts, terminology, today)
        met += outcome == "met"
        possible -= outcome == "not-met"
    outcome = "met" if met >= node.needed else "unknown" if possible >= node.needed else "not-met"
    return negate(outcome) if node.exclude else outcome


def _node(node: Node, facts: Facts, terminology: Terminology, today: date, into: list[Judged], depth: int) -> Outcome:
    if isinstance(node, Leaf):
        finding = evaluate(node.test, facts, terminology, today)
        if node.exclude:
            finding = finding._replace(outcome=negate(finding.outcome))
        into.append(Judged(node, finding, finding.outcome == "unknown", depth))
        return finding.outcome
    start, shown = len(into), bool(node.id)
    below = depth + shown
    outcomes = [_node(part, facts, terminology, today, into, below) for part in node.parts]
    reached = at_least(node.needed, outcomes)
    if reached != "unknown":
        into[start:] = [judged._replace(open=False) for judged in into[start:]]
    outcome = negate(reached) if node.exclude else reached
    if shown:
        into.insert(start, Judged(node, Finding(outcome, _tally(node, into[start:], below)), False, depth))
    return outcome


def _tally(node: Branch, members: list[Judged], depth: int) -> str:
    """How the members of a group stand: `any of 2: 1 met, 1 unknown`."""
    stand = Counter(judged.finding.outcome for judged in members if judged.depth == depth)
    return f"{node.text}: " + ", ".join(f"{count} {outcome}" for outcome, count in stand.items())


def evaluate(test: Test, facts: Facts, terminology: Terminology, today: date) -> Finding:
    """The outcome of a single test."""
    match test:
        case HasDiagnosis():
            return _diagnosis(test, facts, terminology)
        case OfAge():
            return _age(test, facts, today)
        case HasVariant():
            return has_variant(test, facts)
        case HasAmount():
            return _amount(test, facts)
        case HasMsi():
            return _msi(test, facts)
        case HadMedication():
            return _medication(test, facts, terminology)
        case Unjudged():
            return Finding(
                "unknown", f"Cannot be judged: {test.reason}", (), "Ask the study team to mend the criterion"
            )


@lru_cache(maxsize=65_536)
def _relate(terminology: Terminology, have: tuple[Concept, ...], want: tuple[Concept, ...]) -> str | None:
    """How synonyms stand to required synonyms: the most telling of all pairs."""
    answers = {relation(terminology, mine, theirs) for mine in have for theirs in want}
    return next((answer for answer in ("is", "other", "broader") if answer in answers), None)


def _diagnosis(test: HasDiagnosis, facts: Facts, terminology: Terminology) -> Finding:
    unclear: Finding | None = None
    others: list[Diagnosis] = []
    tumour = _tumour(terminology, test.concepts)
    for diagnosis in facts.diagnoses:
        source = diagnosis.source
        match _relate(terminology, diagnosis.concepts, test.concepts):
            case "is" if not source.doubt:
                return Finding("met", f"{test.text}: {diagnosis.name}{dated(source)}", (source.reference,))
            case "is":
                unclear = doubtful(f"{test.text}: {diagnosis.name}", source, "Confirm that the diagnosis is current")
            case "broader":
                text = f"{diagnosis.name}{dated(source)} is recorded less exactly than {test.text} asks"
                unclear = unclear or Finding("unknown", text, (source.reference,), "Record the subtype")
            case "other" if tumour and (diagnosis.cancer or _tumour(terminology, diagnosis.concepts)):
                others.append(diagnosis)
            case None if diagnosis.cancer:
                text = f"{diagnosis.name}{dated(source)} cannot be compared with {test.text}"
                unclear = unclear or Finding("unknown", text, (source.reference,), "Code the diagnosis in OncoTree")
    if unclear:
        return unclear
    if others:
        names = ", ".join(dict.fromkeys(other.name for other in others))
        return Finding("not-met", f"{names} is not {test.text}", tuple(other.source.reference for other in others))
    return Finding(
        "unknown", f"No diagnosis on file can be compared with {test.text}", (), "Record the cancer diagnosis"
    )


@lru_cache(maxsize=65_536)
def _tumour(terminology: Terminology, concepts: tuple[Concept, ...]) -> bool:
    """Whether it is a tumour: only tumours exclude one another, high blood pressure excludes nothing."""
    return any(above.system in _TUMOURS for concept in concepts for above in terminology.closure(concept))


def _age(test: OfAge, facts: Facts, today: date) -> Finding:
    if not facts.birth:
        return Finding("unknown", f"{test.text} required; no birth date on file", (), "Record the birth date")
    try:
        first, last = (date.fromordinal(_EPOCH + us // DAY) for us in _days(facts.birth))
    except ValueError:
        return Finding("unknown", f"{test.text} required; the birth date cannot be read", (), "Correct the birth date")
    have = Span(Decimal(_elapsed(last, today, test.unit)), Decimal(_elapsed(first, today, test.unit)))
    text, evidence = f"Born {facts.birth}; {test.text} required", (facts.patient.reference,)
    match compare(have, test.span):
        case "inside":
            return Finding("met", text, evidence)
        case "outside":
            return Finding("not-met", text, evidence)
    return Finding("unknown", text, evidence, "Record the full birth date")


def _days(birth: str) -> tuple[int, int]:
    low, high = bounds(birth)
    return low, high - DAY


def _elapsed(birth: date, today: date, unit: str) -> int:
    """Completed units between two dates."""
    days = (today - birth).days
    if unit in ("d", "wk"):
        return days if unit == "d" else days // 7
    months = (today.year - birth.year) * 12 + today.month - birth.month - (today.day < birth.day)
    return months if unit == "mo" else months // 12


def _amount(test: HasAmount, facts: Facts) -> Finding:
    ecog = test.code == ECOG
    name = "ECOG performance status" if ecog else "Tumour mutational burden"
    measure = facts.ecog if ecog else facts.tmb
    action = "Record ECOG performance status" if ecog else "Order or upload a tumour mutational burden"
    if measure is None:
        return Finding("unknown", f"{test.text} required; none on file", (), action)
    source = measure.source
    text, evidence = f"{name} {measure.span}{dated(source)}; {test.text} required", (source.reference,)
    if source.doubt:
        return Finding("unknown", f"{text}, but {source.doubt}", evidence, action)
    if not ecog and measure.unit not in PER_MEGABASE:
        return Finding(
            "unknown", f"{text}, but its unit {measure.unit or '(none)'} is not per megabase", evidence, action
        )
    match compare(measure.span, test.span):
        case "inside":
            return Finding("met", text, evidence)
        case "outside":
            return Finding("not-met", text, evidence)
    return Finding("unknown", text, evidence, action)


_MSI_RESULTS = frozenset({"LA14122-8", "LA26202-4", "LA26203-2"})  # Stable, MSI-L, MSI-H; Indeterminate is none


def _msi(test: HasMsi, facts: Facts) -> Finding:
    action = "Order or upload a microsatellite result"
    if facts.msi is None:
        return Finding("unknown", f"{test.text} required; none on file", (), action)
    source = facts.msi.source
    text, evidence = f"Microsatellite status {facts.msi.name}{dated(source)}; {test.text} required", (source.reference,)
    if source.doubt:
        return Finding("unknown", f"{text}, but {source.doubt}", evidence, action)
    if set(facts.msi.concepts) & set(test.concepts):
        return Finding("met", text, evidence)
    comparable = all({concept.code for concept in side} & _MSI_RESULTS for side in (facts.msi.concepts, test.concepts))
    return Finding("not-met" if comparable else "unknown", text, evidence, "" if comparable else action)


def _medication(test: HadMedication, facts: Facts, terminology: Terminology) -> Finding:
    unclear: Finding | None = None
    never: Medication | None = None
    for medication in facts.medications:
        source, how = medication.source, _relate(terminology, medication.concepts, test.concepts)
        if medication.taken and how == "is" and not source.doubt:
            return Finding("met", f"{test.text} on file{dated(source)}", (source.reference,))
        if medication.taken and how == "is":
            unclear = doubtful(f"{test.text} on file", source, "Confirm the medication history")
        elif medication.taken and how == "broader":
            text = f"{medication.name}{dated(source)} is recorded less exactly than {test.text} asks"
            unclear = unclear or Finding("unknown", text, (source.reference,), "Record the substance")
        elif not medication.taken and _covers(terminology, medication, test):
            never = medication
    if unclear:
        return unclear
    if never:
        return Finding("not-met", f"{test.text} stated as not taken{dated(never.source)}", (never.source.reference,))
    return Finding("unknown", f"No record tells of {test.text}", (), "Record the medication history")


def _covers(terminology: Terminology, never: Medication, test: HadMedication) -> bool:
    """Whether what was not taken is the required medication or a class above it."""
    return any(relation(terminology, asked, mine) == "is" for asked in test.concepts for mine in never.concepts)
