"""Number search, where digits state precision. https://hl7.org/fhir/R4/search.html#number"""

import re
from decimal import Decimal

from fhir_server.fhir.ucum import Scale
from fhir_server.search.entries import to_float
from fhir_server.search.params.value import Alternatives, Ask, bad, prefixed, unescape

MODIFIERS: frozenset[str] = frozenset()

_FORM = re.compile(r"[+-]?\d{1,40}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,3})?", re.ASCII)

EXPECTED = "a number such as 5.4, -100 or 1e2, perhaps after eq ne gt lt ge le sa eb ap"


def tests(text: str, modifier: str, ask: Ask) -> Alternatives:
    """Tests on the low and high of an entry: `eq` and `ne` use the precision of the text, others its exact value."""
    return compare(unescape(text), text, ask, EXPECTED)


def compare(number: str, text: str, ask: Ask, expected: str, scale: Scale | None = None) -> Alternatives:
    """The tests of a prefixed number that is the whole or the first part of the search value `text`; with a scale, of
    what it and the ends of its precision are in another unit."""
    prefix, digits = prefixed(number)
    if not _FORM.fullmatch(digits):
        raise bad(ask, text, expected)
    value = Decimal(digits)

    def end(number: Decimal) -> float:
        return to_float(scale.convert(number) if scale else number)

    half = Decimal(5).scaleb(_exponent(value) - 1)
    start, stop, exact = end(value - half), end(value + half), end(value)
    match prefix:
        case "eq":
            return ((("low", ">=", start), ("low", "<", stop), ("high", "<", stop)),)
        case "ne":
            return ((("low", "<", start),), (("high", ">=", stop),))
        case "gt":
            return ((("high", ">", exact),),)
        case "lt":
            return ((("low", "<", exact),),)
        case "ge":
            return ((("high", ">=", exact),),)
        case "le":
            return ((("low", "<=", exact),),)
        case "sa":
            return ((("low", ">", exact),),)
        case "eb":
            return ((("high", "<", exact),),)
    margin = abs(value) / 10
    return ((("low", "<=", end(value + margin)), ("high", ">=", end(value - margin))),)


def _exponent(value: Decimal) -> int:
    """The place of the last digit: a number stands for all that are within half a unit of it. 100 is [99.5, 100.5) and
    1e2, with one significant digit, [50, 150)."""
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)  # the pattern lets no NaN or infinity through
    return exponent
