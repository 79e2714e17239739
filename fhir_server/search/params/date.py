"""Date search: ranges against ranges. https://hl7.org/fhir/R4/search.html#date

A value of the resource is [low, high), the searched text [start, end); both are as wide as their precision.
"""

import re

from fhir_server.fhir.dates import FUTURE, PAST, bounds
from fhir_server.search.params.value import Alternatives, Ask, bad, prefixed, unescape

MODIFIERS: frozenset[str] = frozenset()

# A `+` before the zone that the client did not encode reaches us as a space.
_LOST_PLUS = re.compile(r" (\d\d:\d\d)$")

EXPECTED = "a date such as 2026, 2026-03, 2026-03-09 or 2026-03-09T10:00:00Z, perhaps after eq ne gt lt ge le sa eb ap"


def tests(text: str, modifier: str, ask: Ask) -> Alternatives:
    """Tests on the range of an entry."""
    prefix, start, end = _parse(text, ask)
    match prefix:
        case "eq":  # `low < end` follows from the other two; it bounds an index scan on both sides
            return ((("low", ">=", start), ("low", "<", end), ("high", "<=", end)),)
        case "ne":
            return ((("low", "<", start),), (("high", ">", end),))
        case "gt":
            return ((("high", ">", end),),)
        case "lt":
            return ((("low", "<", start),),)
        case "ge":
            return ((("high", ">", end),), (("low", ">=", start),))
        case "le":
            return ((("low", "<", start),), (("high", "<=", end),))
        case "sa":
            return ((("low", ">=", end),),)
        case "eb":
            return ((("high", "<=", start),),)
    start, end = _widened(start, end, ask.now)
    return ((("low", "<", end), ("high", ">", start)),)


def instant_tests(text: str, modifier: str, ask: Ask) -> Alternatives:
    """The same for `_lastUpdated`: a point in time, of which only `low` is looked at."""
    prefix, start, end = _parse(text, ask)
    match prefix:
        case "eq":
            return ((("low", ">=", start), ("low", "<", end)),)
        case "ne":
            return ((("low", "<", start),), (("low", ">=", end),))
        case "gt" | "sa":
            return ((("low", ">=", end),),)
        case "lt" | "eb":
            return ((("low", "<", start),),)
        case "ge":
            return ((("low", ">=", start),),)
        case "le":
            return ((("low", "<", end),),)
    start, end = _widened(start, end, ask.now)
    return ((("low", ">=", start), ("low", "<", end)),)


def _parse(text: str, ask: Ask) -> tuple[str, int, int]:
    prefix, rest = prefixed(unescape(text))
    try:
        return prefix, *bounds(_LOST_PLUS.sub(r"+\1", rest))
    except ValueError:
        raise bad(ask, text, EXPECTED) from None


def _widened(start: int, end: int, now: int) -> tuple[int, int]:
    """The range stretched at both ends by a tenth of its distance from now."""
    gap = abs(now - start) // 10
    return max(PAST, start - gap), min(FUTURE, end + gap)
