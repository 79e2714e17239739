"""What of a patient's facts a criterion looks at: two patients who are alike in it have the same outcome.

Sources are left out but for whether they are in doubt, and, where a criterion limits the age of its evidence, their
date. population.py judges each distinct projection once, however many patients share it.
"""

from collections.abc import Hashable
from datetime import date

from fhir_server.fhir import codec
from fhir_server.matching.answers import ages_of, newest
from fhir_server.matching.criteria import Leaf
from fhir_server.matching.facts import SPREAD, Facts, Found, Region, Source
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


def excerpt(leaf: Leaf, facts: Facts) -> Facts:
    """Facts that show a criterion the same, and hold as little else as is easily left out."""
    test, bare = leaf.test, Facts("", ())
    match test:
        case HasVariant():
            found, regions = _looked_at(test, facts)
            return bare._replace(variants=tuple(found), regions=tuple(regions))
        case HasResult():
            results = {code: facts.results[code] for code in test.codes if code in facts.results}
            return bare._replace(results=results, sex=facts.sex)
        case HasMetastasis():
            results = {code: facts.results[code] for code in SPREAD if code in facts.results}
            return bare._replace(diagnoses=facts.diagnoses, results=results, stages=facts.stages)
    return bare._replace(**{name: getattr(facts, name) for name in _FIELDS[type(test)]})


_FIELDS: dict[type, tuple[str, ...]] = {
    HasDiagnosis: ("diagnoses",),
    OfStage: ("stages",),
    OfAge: ("births",),
    OfSex: ("sex",),
    InPlace: ("places",),
    HadTherapy: ("therapies",),
    HasSpecimen: ("samples",),
    Holds: ("subjects",),
    Unjudged: (),
}


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
