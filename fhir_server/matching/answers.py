"""One test on one patient's facts. Absence of data is unknown; see docs/matching.md, Absence."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from functools import lru_cache

from fhir_server.fhir.dates import DAY, bounds
from fhir_server.matching.expression import holds
from fhir_server.matching.facts import ECOG, MSI, TMB, Diagnosis, Facts, Result
from fhir_server.matching.finding import Finding, Outcome, dated, doubtful
from fhir_server.matching.kinds import (
    HadTherapy,
    HasDiagnosis,
    HasMetastasis,
    HasResult,
    HasSpecimen,
    HasVariant,
    Holds,
    InPlace,
    OfAge,
    OfSex,
    OfStage,
    Test,
    Unjudged,
)
from fhir_server.matching.polarity import compared
from fhir_server.matching.relate import relate
from fhir_server.matching.spread import has_spread
from fhir_server.matching.therapy import had_therapy
from fhir_server.matching.values import LOINC, Span, compare, converted
from fhir_server.matching.variants import has_variant
from fhir_server.terminology.codes import Concept, Terminology, relation

_EPOCH = date(1970, 1, 1).toordinal()
_TUMOURS = frozenset({"http://oncotree.mskcc.org", "https://participation.example/fhir/CodeSystem/diagnosis-group"})


def answer(test: Test, facts: Facts, terminology: Terminology, today: date) -> Finding:
    """The outcome of a single test."""
    match test:
        case HasDiagnosis():
            return _diagnosis(test, facts, terminology)
        case OfAge():
            return _age(test, facts, today)
        case HasVariant():
            return has_variant(test, facts)
        case HasResult():
            return _result(test, facts, terminology)
        case HadTherapy():
            return had_therapy(test, facts, terminology, today)
        case OfStage():
            return _stage(test, facts)
        case HasMetastasis():
            return has_spread(test, facts)
        case OfSex():
            return _sex(test, facts)
        case HasSpecimen():
            return _specimen(test, facts, terminology)
        case InPlace():
            return _place(test, facts)
        case Holds():
            return holds(test, facts, today)
        case Unjudged():
            return Finding(
                "unknown", f"Cannot be judged: {test.reason}", (), "Ask the study team to mend the criterion"
            )


def _diagnosis(test: HasDiagnosis, facts: Facts, terminology: Terminology) -> Finding:
    unclear: Finding | None = None
    refuted: Finding | None = None
    others: list[Diagnosis] = []
    tumour = is_tumour(terminology, test.concepts)
    for diagnosis in facts.diagnoses:
        source = diagnosis.source
        if diagnosis.refuted:
            refuted = refuted or _refutes(diagnosis, test.concepts, terminology)
            continue
        if diagnosis.secondary and relate(terminology, diagnosis.concepts, test.concepts) != "is":
            continue  # a spread is no other primary
        match relate(terminology, diagnosis.concepts, test.concepts):
            case "is" if not source.doubt:
                return Finding("met", f"{test.text}: {diagnosis.name}{dated(source)}", (source.reference,))
            case "is":
                unclear = doubtful(f"{test.text}: {diagnosis.name}", source, "Confirm that the diagnosis is current")
            case "broader":
                text = f"{diagnosis.name}{dated(source)} is recorded less exactly than {test.text} asks"
                unclear = unclear or Finding("unknown", text, (source.reference,), "Record the subtype")
            case "other" if tumour and (diagnosis.cancer or is_tumour(terminology, diagnosis.concepts)):
                others.append(diagnosis)
            case None if diagnosis.cancer:
                text = f"{diagnosis.name}{dated(source)} cannot be compared with {test.text}"
                unclear = unclear or Finding("unknown", text, (source.reference,), "Code the diagnosis in OncoTree")
    if unclear or refuted:
        return unclear or refuted  # type: ignore[return-value]
    if others:
        names = ", ".join(dict.fromkeys(other.name for other in others))
        return Finding("not-met", f"{names} is not {test.text}", tuple(other.source.reference for other in others))
    return Finding(
        "unknown", f"No diagnosis on file can be compared with {test.text}", (), "Record the cancer diagnosis"
    )


def _refutes(diagnosis: Diagnosis, wanted: Iterable[Concept], terminology: Terminology) -> Finding | None:
    """What a diagnosis that was ruled out says of the wanted ones, if they are the same or kinds of it."""
    if not any(relation(terminology, asked, mine) == "is" for asked in wanted for mine in diagnosis.concepts):
        return None
    return Finding("not-met", f"{diagnosis.name} was ruled out{dated(diagnosis.source)}", (diagnosis.source.reference,))


@lru_cache(maxsize=65_536)
def is_tumour(terminology: Terminology, concepts: tuple[Concept, ...]) -> bool:
    """Whether it is a tumour: only tumours exclude one another, high blood pressure excludes nothing."""
    return any(above.system in _TUMOURS for concept in concepts for above in terminology.closure(concept))


def _age(test: OfAge, facts: Facts, today: date) -> Finding:
    if not facts.births:
        return Finding("unknown", f"{test.text} required; no birth date on file", (), "Record the birth date")
    ages = ages_of(facts.births, today, test.unit)
    if ages is None:
        return Finding("unknown", f"{test.text} required; the birth date cannot be read", (), "Correct the birth date")
    have = Span(Decimal(ages[0]), Decimal(ages[1]))
    text, evidence = f"Born {' or '.join(facts.births)}; {test.text} required", facts.patients
    match compare(have, test.span):
        case "inside":
            return Finding("met", text, evidence)
        case "outside":
            return Finding("not-met", text, evidence)
    action = "Record the full birth date" if len(facts.births) == 1 else "Settle which birth date is right"
    return Finding("unknown", text, evidence, action)


@lru_cache(maxsize=65_536)
def ages_of(births: tuple[str, ...], today: date, unit: str) -> tuple[int, int] | None:
    """The least and the greatest age in completed units that birth dates as written allow; None if one cannot be
    read."""
    try:
        born = [date.fromordinal(_EPOCH + us // DAY) for birth in births for us in _days(birth)]
    except ValueError:
        return None
    return _elapsed(max(born), today, unit), _elapsed(min(born), today, unit)


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


def _sex(test: OfSex, facts: Facts) -> Finding:
    if facts.sex not in ("male", "female"):
        return Finding("unknown", f"{test.text} required; it is not recorded as male or female", (), "Record the sex")
    outcome: Outcome = "met" if facts.sex == test.sex else "not-met"
    return Finding(outcome, f"{facts.sex.capitalize()}; {test.text} required", facts.patients)


def _place(test: InPlace, facts: Facts) -> Finding:
    evidence = facts.patients
    if facts.places & test.places:
        return Finding("met", f"{test.text}: {', '.join(sorted(facts.places & test.places))}", evidence)
    parts = any("-" in place for place in test.places)
    known = {place for place in facts.places if ("-" in place) == parts or not parts}
    elsewhere = {place.partition("-")[0] for place in facts.places} - {w.partition("-")[0] for w in test.places}
    if known or (facts.places and elsewhere):
        return Finding("not-met", f"{test.text} required; living in {', '.join(sorted(facts.places))}", evidence)
    return Finding("unknown", f"{test.text} required; no such address on file", (), "Record country and state")


def _specimen(test: HasSpecimen, facts: Facts, terminology: Terminology) -> Finding:
    gone: list[str] = []
    for sample in facts.samples:
        if relate(terminology, sample.concepts, test.concepts) == "is":
            if sample.available:
                return Finding("met", f"{test.text}: {sample.name}{dated(sample.source)}", (sample.source.reference,))
            gone.append(sample.source.reference)
    if gone:
        return Finding("not-met", f"{test.text} required; what there was is not available", tuple(gone))
    return Finding("unknown", f"No specimen on file tells of {test.text}", (), "Record or take a specimen")


def _stage(test: OfStage, facts: Facts) -> Finding:
    if not facts.stages:
        return Finding("unknown", f"{test.text} required; no stage on file", (), "Record the stage")
    stage, source = facts.stages[-1]
    text, evidence = f"Stage {stage}{dated(source)}; {test.text} required", (source.reference,)
    if source.doubt:
        return Finding("unknown", f"{text}, but {source.doubt}", evidence, "Confirm the stage")
    if stage.number != test.number or (test.letter and stage.letter and stage.letter != test.letter):
        return Finding("not-met", text, evidence)
    if test.letter and not stage.letter:
        return Finding("unknown", text, evidence, "Record the stage with its letter")
    return Finding("met", text, evidence)


_ACTIONS = {
    Concept(LOINC, ECOG): "Record ECOG performance status",
    Concept(LOINC, TMB): "Order or upload a tumour mutational burden",
    Concept(LOINC, MSI): "Order or upload a microsatellite result",
}


def _result(test: HasResult, facts: Facts, terminology: Terminology) -> Finding:
    if test.not_for and facts.sex == test.not_for:
        text = f"{test.text} does not apply to a {facts.sex} patient"
        return Finding("not-met", text, facts.patients, applies=False)
    action = next((_ACTIONS[code] for code in test.codes if code in _ACTIONS), f"Order or record {test.name}")
    found = [facts.results[code] for code in test.codes if code in facts.results]
    if not found:
        return Finding("unknown", f"{test.text} required; none on file", (), action)
    result = newest(found)
    source = result.source
    shown = f"{result.name} {result.unit}".strip() if result.span is None or result.unit else str(result.span)
    text, evidence = f"{test.name} {shown}{dated(source)}; {test.text} required", (source.reference,)
    if source.doubt:
        return Finding("unknown", f"{text}, but {source.doubt}", evidence, action)
    return _number(test, result, text, action) if test.span else _coded(test, result, text, action, terminology)


def newest(found: Iterable[Result]) -> Result:
    """Of results under several codes the one that counts."""
    return max(found, key=lambda one: _moment(one.source.date))


def _moment(date: str) -> int:
    try:
        return bounds(date)[0]
    except ValueError:
        return -(1 << 62)


def _number(test: HasResult, result: Result, text: str, action: str) -> Finding:
    assert test.span is not None
    evidence = (result.source.reference,)
    if result.span is None:
        return Finding("unknown", f"{text}, but it is no number", evidence, action)
    have = converted(result.span, result.unit, test.unit)
    if have is None:
        text = f"{text}, but its unit {result.unit or '(none)'} cannot be compared with {test.unit or '(none)'}"
        return Finding("unknown", text, evidence, action)
    match compare(have, test.span):
        case "inside":
            return Finding("met", text, evidence)
        case "outside":
            return Finding("not-met", text, evidence)
    return Finding("unknown", text, evidence, action)


def _coded(test: HasResult, result: Result, text: str, action: str, terminology: Terminology) -> Finding:
    evidence = (result.source.reference,)
    same = compared(terminology, result.answers, test.answers)
    if same is None:
        return Finding("unknown", text, evidence, action)
    return Finding("met" if same else "not-met", text, evidence)
