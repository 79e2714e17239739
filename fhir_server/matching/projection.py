"""What of a patient's facts a criterion looks at: two patients who are alike in it have the same outcome.

Sources are left out but for whether they are in doubt, and, where a criterion limits the age of its evidence, their
date. population.py judges each distinct projection once, however many patients share it.
"""

from collections.abc import Hashable, Iterable
from datetime import date
from typing import Any

from fhir_server.fhir import codec
from fhir_server.matching.answers import ages_of, newest
from fhir_server.matching.criteria import Leaf
from fhir_server.matching.facts import SPREAD, Facts, Found, Region, Source
from fhir_server.matching.kinds import (
    Duration,
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
    Unjudged,
)


def place(leaf: Leaf) -> Hashable:
    """Criteria of one place look at the same projection."""
    test, dated = leaf.test, leaf.max_age is not None
    match test:
        case HasVariant():
            return "variant", test.genes, test.concepts, dated
        case HasResult():
            return "result", test.codes, test.not_for != "", dated
        case HadTherapy():
            return "therapy", test.washout is not None
        case HasMetastasis():
            return "spread", test.brain
        case OfAge():
            return "age", test.unit
    return type(test).__name__, dated


def projection(leaf: Leaf, facts: Facts, today: date) -> Hashable:
    """The part of the facts that the outcome of a criterion depends on, on one day."""
    test, dated = leaf.test, leaf.max_age is not None
    match test:
        case HasDiagnosis():
            return frozenset(
                (one.concepts, one.cancer, one.secondary, one.refuted, _of(one.source, False))
                for one in facts.diagnoses
            )
        case HasMetastasis():
            known = frozenset(
                (one.brain, one.secondary, one.refuted, _of(one.source, False)) for one in facts.diagnoses
            )
            category = tuple(
                (code, one.name, one.answers, _of(one.source, True))
                for code in SPREAD
                if (one := facts.results.get(code)) is not None
            )
            return known, category, tuple((one.stage, _of(one.source, False)) for one in facts.stages[-1:])
        case OfStage():
            return tuple((one.stage, _of(one.source, dated)) for one in (facts.stages if dated else facts.stages[-1:]))
        case OfAge():
            return facts.births and ages_of(facts.births, today, test.unit)
        case OfSex():
            return facts.sex
        case InPlace():
            return facts.places
        case HasVariant():
            return _variants(test, facts, dated)
        case HasResult():
            sex = facts.sex if test.not_for else ""
            found = [facts.results[code] for code in test.codes if code in facts.results]
            used = found if dated or not found else [newest(found)]
            return sex, tuple((one.span, one.unit, one.answers, _of(one.source, dated)) for one in used)
        case HadTherapy():
            return frozenset(
                (one.concepts, one.given, one.last if test.washout else "", _of(one.source, False))
                for one in facts.therapies
            )
        case HasSpecimen():
            return frozenset((one.concepts, one.available) for one in facts.samples)
        case Holds():
            return codec.encode(list(facts.subjects))
        case Unjudged():
            return None


def excerpt(leaf: Leaf, facts: Facts, today: date) -> Facts:
    """Facts that show a criterion the same on one day, and nothing that others with the same projection do not show."""
    test, dated, bare = leaf.test, leaf.max_age is not None, Facts("", ())
    match test:
        case HasDiagnosis():
            return bare._replace(diagnoses=_unnamed(facts.diagnoses, False))
        case HasMetastasis():
            category = {code: _bare(facts.results[code], True) for code in SPREAD if code in facts.results}
            stages, diagnoses = _unnamed(facts.stages[-1:], False), _unnamed(facts.diagnoses, False)
            return bare._replace(diagnoses=diagnoses, results=category, stages=stages)
        case OfStage():
            return bare._replace(stages=_unnamed(facts.stages if dated else facts.stages[-1:], dated))
        case OfAge():
            ages = facts.births and ages_of(facts.births, today, test.unit)
            days = [Duration(age, test.unit).before(today).isoformat() for age in ages or ()]
            return bare._replace(births=tuple(days) if days else facts.births)  # what is no date says nothing
        case OfSex():
            return bare._replace(sex=facts.sex)
        case InPlace():
            return bare._replace(places=facts.places)
        case HasVariant():
            found, regions = _looked_at(test, facts)
            return bare._replace(variants=_unnamed(found, dated), regions=_unnamed(regions, dated))
        case HasResult():
            results = {code: facts.results[code] for code in test.codes if code in facts.results}
            if results and not dated:
                last = newest(results.values())
                results = {next(code for code, one in results.items() if one is last): last}
            bared = {code: _bare(one, dated) for code, one in results.items()}
            return bare._replace(results=bared, sex=facts.sex if test.not_for else "")
        case HadTherapy():
            given = facts.therapies if test.washout else [one._replace(last="") for one in facts.therapies]
            return bare._replace(therapies=_unnamed(given, False))
        case HasSpecimen():
            return bare._replace(samples=_unnamed(facts.samples, False))
        case Holds():
            return bare._replace(subjects=facts.subjects)
        case Unjudged():
            return bare


def _unnamed(found: Iterable[Any], dated: bool) -> tuple[Any, ...]:
    return tuple(_bare(one, dated) for one in found)


def _bare(fact: Any, dated: bool) -> Any:
    """A fact without its name, and of its source only whether it is in doubt and, if it is asked for, its date."""
    source = Source("", fact.source.date if dated else "", fact.source.doubt)
    return fact._replace(source=source, **({"name": ""} if "name" in fact._fields else {}))


def _of(source: Source, dated: bool) -> tuple[bool, str]:
    return source.doubt != "", source.date if dated else ""


def _variants(test: HasVariant, facts: Facts, dated: bool) -> Hashable:
    found, regions = _looked_at(test, facts)
    return frozenset((one[:4], one[5:], _of(one.source, dated)) for one in found), frozenset(
        (one.genes & test.genes, one.whole, one.tested, one.exons, _of(one.source, dated)) for one in regions
    )


def _looked_at(test: HasVariant, facts: Facts) -> tuple[list[Found], list[Region]]:
    found = [one for one in facts.variants if one.genes & test.genes or one.concepts & test.concepts]
    return found, [one for one in facts.regions if one.genes & test.genes]
