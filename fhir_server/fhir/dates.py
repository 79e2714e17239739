"""Dates of every precision as half-open ranges of microseconds. https://hl7.org/fhir/R4/datatypes.html#dateTime"""

import re
from calendar import monthrange
from datetime import UTC, datetime
from functools import lru_cache

DAY = 86_400_000_000
SECOND = 1_000_000
PAST = -62_135_596_800_000_000  # 0001-01-01: where a period without a start begins
FUTURE = 253_402_300_800_000_000  # 10000-01-01: where a period without an end ends

_EPOCH = datetime(1970, 1, 1)
_WIDTHS = (SECOND, 100_000, 10_000, 1000, 100, 10, 1)  # by the digits of a fraction
_FORM = re.compile(
    r"\d{4}(?:-\d\d(?:-\d\d"
    r"(?:T(?:[01]\d|2[0-3]):[0-5]\d(?P<second>:(?:[0-5]\d|60)(?:\.(?P<fraction>\d{1,64}))?)?"
    r"(?P<zone>Z|[+-](?:0\d|1[0-4]):[0-5]\d)?)?)?)?",
    re.ASCII,
)


@lru_cache(maxsize=16_384)
def bounds(text: str) -> tuple[int, int]:
    """The range [low, high) that a date, dateTime, instant or search date covers, in microseconds since 1970 UTC.

    Its width is the precision given: a year, month, day, minute, second or decimal fraction of one (never below a
    microsecond). Without a zone the text is taken as UTC. Raises ValueError for what is not such a date.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is not a date such as 2026, 2026-03, 2026-03-09 or 2026-03-09T10:00:00Z")
    if len(text) == 10:
        low = _microseconds(datetime.fromisoformat(text))
        return low, low + DAY
    if len(text) < 10:
        year, month = int(text[:4]), int(text[5:7] or 1)
        last = month if text[5:] else 12
        end = _microseconds(datetime(year, last, 1)) + monthrange(year, last)[1] * DAY
        return _microseconds(datetime(year, month, 1)), end
    second, fraction, zone = found.groups()
    # The first 16 characters are date, hour and minute; a leap second must stay outside of datetime.
    low = _microseconds(datetime.fromisoformat(text[:16]))
    if zone and zone != "Z":
        offset = (int(zone[1:3]) * 60 + int(zone[4:6])) * 60 * SECOND
        low += offset if zone[0] == "-" else -offset
    if second is None:
        return low, low + 60 * SECOND
    low += int(second[1:3]) * SECOND
    if fraction is None:
        return low, low + SECOND
    low += int(fraction[:6].ljust(6, "0"))
    return low, low + _WIDTHS[min(len(fraction), 6)]


def instant(us: int) -> str:
    """The FHIR instant of a time in microseconds: `2026-01-02T03:04:05.123Z`, six digits only where three do not do."""
    seconds, rest = divmod(us, SECOND)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{rest // 1000:03}" if rest % 1000 == 0 else f"{rest:06}"
    return f"{whole.rjust(19, '0')}.{fraction}Z"


def _microseconds(when: datetime) -> int:
    gap = when - _EPOCH
    return (gap.days * 86_400 + gap.seconds) * SECOND
