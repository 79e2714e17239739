"""lowBoundary() and highBoundary(): the ends of what a value of limited precision may stand for. https://hl7.org/fhir/fhirpath.html#functions"""

import re
from calendar import monthrange
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

DATES = frozenset({"date", "dateTime", "instant", "time"})
NUMBERS = frozenset({"decimal", "integer", "positiveInt", "unsignedInt", "integer64"})
_DATE = re.compile(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?(?:T(.*?)(Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_TIME = re.compile(r"(\d\d)(?::(\d\d))?(?::(\d\d))?(?:\.(\d+))?", re.ASCII)


def boundary(value: Any, type: str, high: bool, digits: int | None = None) -> Any:
    """The lowest or highest value that one of `type` may stand for; None where it has none. `digits` after the point
    are for numbers only. Of a Period: the boundary of its start, or of its end."""
    if type == "Period":
        end = value.get("end" if high else "start")
        return None if end is None else boundary(end, "dateTime", high)
    if type == "Quantity":
        number = value.get("value")
        return None if number is None else {**value, "value": boundary(number, "decimal", high, digits)}
    if type in NUMBERS:
        return _number(value, high, digits)
    if type == "time":
        return _time(value, high)
    return _date(value, type, high)


def _number(value: Decimal | int, high: bool, digits: int | None) -> Decimal | None:
    number = Decimal(value)
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or (digits is not None and not 0 <= digits <= 28):
        return None
    half = Decimal(5).scaleb(exponent - 1)
    found = number + half if high else number - half
    if digits is not None:
        found = found.quantize(Decimal(1).scaleb(-digits), ROUND_CEILING if high else ROUND_FLOOR)
    return found


def _date(value: str, type: str, high: bool) -> str | None:
    match = _DATE.fullmatch(value)
    if match is None:
        return None
    year, month, day, time, zone = match.groups()
    month = month or ("12" if high else "01")
    day = day or (f"{monthrange(int(year), int(month))[1]:02}" if high else "01")
    if type == "date":
        return f"{year}-{month}-{day}"
    clock = _time(time or ("23" if high else "00"), high)
    # Where no zone is said, the day begins first in +14:00 and ends last in -12:00.
    return clock and f"{year}-{month}-{day}T{clock}{zone or ('-12:00' if high else '+14:00')}"


def _time(value: str, high: bool) -> str | None:
    match = _TIME.fullmatch(value)
    if match is None:
        return None
    hour, minute, second, fraction = match.groups()
    low_high = "59" if high else "00"
    return f"{hour}:{minute or low_high}:{second or low_high}.{(fraction or '').ljust(3, '9' if high else '0')}"
