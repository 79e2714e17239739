"""Dates of every precision as half-open ranges of microseconds. https://hl7.org/fhir/R4/datatypes.html#dateTime"""

import re
from calendar import monthrange
from datetime import UTC, date, datetime
from functools import lru_cache

DAY = 86_400_000_000
SECOND = 1_000_000
PAST = -62_135_596_800_000_000  # 0001-01-01: where a period without a start begins
FUTURE = 253_402_300_800_000_000  # 10000-01-01: where a period without an end ends

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_FORM = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:T(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d|60)(?:\.(?P<fraction>\d+))?)?"
    r"(?P<zone>Z|[+-](?:0\d|1[0-4]):[0-5]\d)?)?)?)?",
    re.ASCII,
)


@lru_cache(maxsize=65_536)
def bounds(text: str) -> tuple[int, int]:
    """The range [low, high) that a date, dateTime, instant or search date covers, in microseconds since 1970 UTC.

    Its width is the precision given: a year, month, day, minute, second or decimal fraction of one (never below a
    microsecond). Without a zone the text is taken as UTC. Raises ValueError for what is not such a date.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is not a date such as 2026, 2026-03, 2026-03-09 or 2026-03-09T10:00:00Z")
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    first = _day(int(year), int(month or 1), int(day or 1))
    if hour is None:
        return first * DAY, (first + _days(int(year), month, day)) * DAY
    low = first * DAY + (int(hour) * 3600 + int(minute) * 60 + int(second or 0)) * SECOND
    if zone and zone != "Z":
        offset = (int(zone[1:3]) * 3600 + int(zone[4:6]) * 60) * SECOND
        low += offset if zone[0] == "-" else -offset
    if second is None:
        return low, low + 60 * SECOND
    if fraction is None:
        return low, low + SECOND
    low += int(fraction[:6].ljust(6, "0"))
    return low, low + 10 ** (6 - min(len(fraction), 6))


def instant(us: int) -> str:
    """The FHIR instant of a time in microseconds: `2026-01-02T03:04:05.123Z`, six digits only where three do not do."""
    seconds, rest = divmod(us, SECOND)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{rest // 1000:03}" if rest % 1000 == 0 else f"{rest:06}"
    return f"{whole.rjust(19, '0')}.{fraction}Z"


def _day(year: int, month: int, day: int) -> int:
    return date(year, month, day).toordinal() - _EPOCH_DAY


def _days(year: int, month: str | None, day: str | None) -> int:
    if day:
        return 1
    if month:
        return monthrange(year, int(month))[1]
    return 366 if monthrange(year, 2)[1] == 29 else 365
