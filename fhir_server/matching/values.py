"""Numbers as intervals and concepts as codes: the values that facts and criteria are compared by."""

from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.ucum import scale
from fhir_server.terminology.codes import Concept

LOINC = "http://loinc.org"
OWN = "https://participation.example/fhir"
# Other names under which systems arrive, beside a slash at the end.
_ALIASES = {
    "http://www.genenames.org/geneId": "http://www.genenames.org",
    "https://www.genenames.org": "http://www.genenames.org",
}
KIND = f"{OWN}/CodeSystem/criterion-kind"
_EXAMPLE = "https://example.org/fhir/"  # our own names before the network had one


class Span(NamedTuple):
    """An interval of numbers; None is unbounded, `open` ends are not part of it."""

    low: Decimal | None = None
    high: Decimal | None = None
    low_open: bool = False
    high_open: bool = False

    def __str__(self) -> str:
        if self.low is not None and self.low == self.high:
            return str(self.low)
        if self.low is not None and self.high is not None:
            return f"{self.low} to {self.high}"
        if self.low is not None:
            return f"{'>' if self.low_open else '>='} {self.low}"
        return f"{'<' if self.high_open else '<='} {self.high}"


def point(value: int | Decimal) -> Span:
    """The interval that is one number."""
    number = Decimal(value)
    return Span(number, number)


def compare(have: Span, want: Span) -> Literal["inside", "outside", "overlaps"]:
    """Where a value that lies somewhere in `have` stands to `want`: surely inside, surely outside, or either."""
    if _before(have, want) or _before(want, have):
        return "outside"
    low = want.low is None or (have.low is not None and _at_least(have, want, want.low, have.low))
    high = want.high is None or (have.high is not None and _at_most(have, want, want.high, have.high))
    return "inside" if low and high else "overlaps"


def _at_least(have: Span, want: Span, asked: Decimal, low: Decimal) -> bool:
    return low > asked or (low == asked and (have.low_open or not want.low_open))


def _at_most(have: Span, want: Span, asked: Decimal, high: Decimal) -> bool:
    return high < asked or (high == asked and (have.high_open or not want.high_open))


def _before(a: Span, b: Span) -> bool:
    if a.high is None or b.low is None:
        return False
    return a.high < b.low or (a.high == b.low and (a.high_open or b.low_open))


def quantity_span(quantity: Mapping[str, Any]) -> Span | None:
    """The interval of a Quantity and its comparator; None without a value."""
    if "value" not in quantity:
        return None
    value = Decimal(quantity["value"])
    match quantity.get("comparator"):
        case None:
            return Span(value, value)
        case "<":
            return Span(None, value, high_open=True)
        case "<=":
            return Span(None, value)
        case ">=":
            return Span(value, None)
        case ">":
            return Span(value, None, low_open=True)
    return None


def range_span(value: Mapping[str, Any]) -> Span | None:
    """The interval of a Range, both ends included; None without either end."""
    low, high = (value.get(end, {}).get("value") for end in ("low", "high"))
    if low is None and high is None:
        return None
    return Span(None if low is None else Decimal(low), None if high is None else Decimal(high))


# Units that mean the same and that UCUM's table has under one name only; "" is a bare number.
_SAME_UNIT = {
    **dict.fromkeys(("1/1000000{base}", "1/1000000.{Base}", "{mutations}/Mb", "1/Mb", "/Mb"), "1/1000000{Base}"),
    **dict.fromkeys(("1", "{score}", "{ScoreOf}", "{index}", "{#}"), ""),
}


def unit_of(quantity: Mapping[str, Any]) -> str:
    """The code of a Quantity's unit, or the unit as written if it has none; "" for a bare number."""
    unit = str(quantity.get("code") or quantity.get("unit") or "")
    return _SAME_UNIT.get(unit, unit)


def converted(span: Span, unit: str, wanted: str) -> Span | None:
    """A span in another unit; None if the two units cannot be compared."""
    if unit == wanted:
        return span
    have, want = scale(unit), scale(wanted)
    if not unit or not wanted or have is None or want is None or have.canonical != want.canonical:
        return None

    def convert(end: Decimal | None) -> Decimal | None:
        if end is None:
            return None
        number = have.convert(end) / want.factor + want.offset
        return Decimal(number.numerator) / Decimal(number.denominator)

    return span._replace(low=convert(span.low), high=convert(span.high))


def word(text: str) -> str:
    """A text without case and surplus spaces, to compare words by."""
    return " ".join(text.casefold().split())


def concepts(concept: Resource | None) -> tuple[Concept, ...]:
    """The codings of a CodeableConcept that have a code."""
    if not concept:
        return ()
    return tuple(Concept(named(c.get("system", "")), c["code"]) for c in concept.get("coding", ()) if c.get("code"))


@lru_cache(maxsize=1024)
def named(url: str) -> str:
    """The one name of a code system or of one of our extensions, of which several spellings are in use."""
    plain = url.rstrip("/")
    if plain.startswith(_EXAMPLE):
        plain = f"{OWN}/{plain.removeprefix(_EXAMPLE)}"
    return _ALIASES.get(plain, plain)


def codes(concept: Resource | None, system: str) -> frozenset[str]:
    """The codes of one system in a CodeableConcept."""
    return frozenset(found.code for found in concepts(concept) if found.system == system)


def label(concept: Resource) -> str:
    """What to call a CodeableConcept in an explanation: its text, a display, or a code."""
    codings = concept.get("coding", ())
    named = concept.get("text") or next((c["display"] for c in codings if c.get("display")), None)
    return named or next((c["code"] for c in codings if c.get("code")), "an unnamed concept")
