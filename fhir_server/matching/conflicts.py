"""Whether two criteria can be met by one patient. What is not certain to exclude each other is taken to be possible."""

from decimal import Decimal
from math import ceil, floor
from typing import NamedTuple

from fhir_server.matching.answers import is_tumour
from fhir_server.matching.kinds import (
    Duration,
    HadTherapy,
    HasDiagnosis,
    HasMetastasis,
    HasResult,
    HasVariant,
    OfAge,
    OfSex,
    OfStage,
    Test,
)
from fhir_server.matching.polarity import compared
from fhir_server.matching.relate import relate
from fhir_server.matching.values import Span, converted
from fhir_server.terminology.codes import Terminology

MONTHS = 12


class Literal(NamedTuple):
    """A criterion as it must be: its test met, or (not `positive`) shown not to be."""

    id: str
    test: Test
    positive: bool
    max_age: Duration | None = None


def conflict(a: Literal, b: Literal, terminology: Terminology) -> str:
    """Why nobody can be both, "" if somebody may. To be asked in both orders."""
    if a.test == b.test and a.max_age == b.max_age:
        return "one is the opposite of the other" if a.positive != b.positive else ""
    match a.test, b.test:
        case OfAge(), OfAge():
            return _apart(_months(a), _months(b), "ages")
        case HasResult(), HasResult() if set(a.test.codes) & set(b.test.codes):
            return _results(a, b, terminology)
        case OfSex(), OfSex() if a.positive and b.positive and a.test.sex != b.test.sex:
            return "sexes"
        case OfStage(), OfStage() if a.positive and b.positive:
            other = a.test.number != b.test.number or (
                a.test.letter and b.test.letter and a.test.letter != b.test.letter
            )
            return "stages" if other else ""
        case HasMetastasis(brain=True), HasMetastasis(brain=False) if a.positive and not b.positive:
            return "a spread to the brain is a spread"
    return _kind_of(a, b, terminology) if a.positive and not b.positive else ""


def _kind_of(a: Literal, b: Literal, terminology: Terminology) -> str:
    """Whether what is required is a kind of what is excluded."""
    match a.test, b.test:
        case HasDiagnosis(), HasDiagnosis():
            alike = relate(terminology, a.test.concepts, b.test.concepts) == "is"
        case HadTherapy(), HadTherapy():
            alike = b.test.washout is None and relate(terminology, a.test.concepts, b.test.concepts) == "is"
        case HasVariant(), HasVariant():
            alike = b.max_age is None and _covers(b.test, a.test)
        case _:
            alike = False
    return "what is required is a kind of what is excluded" if alike else ""


def _covers(wide: HasVariant, narrow: HasVariant) -> bool:
    if not narrow.genes or narrow.genes != wide.genes:
        return False
    if wide.whole_gene:
        return True
    groups = wide.groups
    changes = {(change.kind, change.change) for change in wide.changes}
    named = narrow.changes and not narrow.groups and not narrow.concepts
    return bool(named) and all(
        (change.kind, change.change) in changes or any(group.described(change) and group.plain for group in groups)
        for change in narrow.changes
    )


def two_tumours(a: Literal, b: Literal, terminology: Terminology) -> bool:
    """Whether two different tumours are asked for at once: possible, but rarely meant."""
    if not (isinstance(a.test, HasDiagnosis) and isinstance(b.test, HasDiagnosis) and a.positive and b.positive):
        return False
    tumours = all(is_tumour(terminology, one.concepts) for one in (a.test, b.test))
    return tumours and relate(terminology, a.test.concepts, b.test.concepts) == "other"


def _months(literal: Literal) -> Span | None:
    """Completed months of age, whole numbers at both ends; None where they cannot be told."""
    test = literal.test
    if not isinstance(test, OfAge) or test.unit not in ("a", "mo"):
        return None
    span = test.span if literal.positive else _opposite(test.span)
    if span is None:
        return None
    low = None if span.low is None else floor(span.low) + 1 if span.low_open else ceil(span.low)
    high = None if span.high is None else ceil(span.high) - 1 if span.high_open else floor(span.high)
    each = MONTHS if test.unit == "a" else 1
    return Span(None if low is None else Decimal(low * each), None if high is None else Decimal(high * each + each - 1))


def _opposite(span: Span) -> Span | None:
    if span.low is None and span.high is not None:
        return Span(low=span.high, low_open=not span.high_open)
    if span.high is None and span.low is not None:
        return Span(high=span.low, high_open=not span.low_open)
    return None


def _apart(a: Span | None, b: Span | None, what: str) -> str:
    if a is None or b is None:
        return ""
    for low, high in ((a, b), (b, a)):
        if low.low is not None and high.high is not None:
            touching = low.low == high.high and (low.low_open or high.high_open)
            if low.low > high.high or touching:
                return what
    return ""


def _results(a: Literal, b: Literal, terminology: Terminology) -> str:
    one, other = a.test, b.test
    assert isinstance(one, HasResult)
    assert isinstance(other, HasResult)
    if one.span is not None and other.span is not None:
        mine = one.span if a.positive else _opposite(one.span)
        theirs = other.span if b.positive else _opposite(other.span)
        return _apart(mine, theirs and converted(theirs, other.unit, one.unit), f"values of {one.name}")
    if one.answers and other.answers and a.positive:
        same = compared(terminology, one.answers, other.answers)
        if (same is False and b.positive) or (same is True and not b.positive):
            return f"answers of {one.name}"
    return ""
