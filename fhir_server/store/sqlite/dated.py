"""What a predicate says of dates: where in one patient's timeline its matches lie."""

from typing import NamedTuple

from fhir_server.search.predicate import And, Is, Or, Predicate
from fhir_server.store.sqlite.rows import DAY

LAST = (1 << 63) - 1


class Dated(NamedTuple):
    """What a predicate says of the dates of whatever meets it: the parameter, the least and greatest low end, and, if
    spans of more than a day may begin before that, where the earliest of them ends."""

    code: str
    low: int
    high: int
    end: int | None


def dated(where: Predicate) -> Dated | None:
    """The dates that `where` allows, if it says anything of them."""
    match where:
        case And(parts):
            return next(filter(None, map(dated, parts)), None)
        case Or(parts) if parts:
            found = [one for part in parts if (one := dated(part)) is not None]
            if len(found) < len(parts) or len({one.code for one in found}) > 1:
                return None
            ends = [one.end for one in found if one.end is not None]
            low, high = min(one.low for one in found), max(one.high for one in found)
            return Dated(found[0].code, low, high, min(ends) if ends else None)
        case Is(param, tests) if param.kind == "date" and tests and tests[0][1] != "in":
            lows = [value for field, op, value in tests if field == "low" and op in (">", ">=", "=")]
            ends = [value for field, op, value in tests if field == "high" and op in (">", ">=", "=")]
            highs = [value for _, op, value in tests if op in ("<", "<=", "=")]
            if not lows and ends:
                return Dated(param.code, max(ends) - DAY, min(highs, default=LAST), max(ends))
            return Dated(param.code, max(lows, default=-LAST), min(highs, default=LAST), None)
    return None
