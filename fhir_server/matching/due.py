"""When time alone may change what was judged: birthdays, evidence that grows too old, washouts, ends of consent."""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from math import ceil, floor

from fhir_server.access.statements import FOREVER
from fhir_server.fhir.dates import DAY, bounds
from fhir_server.matching.criteria import Leaf, Study
from fhir_server.matching.facts import Facts
from fhir_server.matching.kinds import Duration, HadTherapy, Holds, OfAge
from fhir_server.matching.people import Person

_EPOCH = date(1970, 1, 1).toordinal()
CLAMP = 3  # days by which months of different length may move the end of a duration
SETTLING = 30_000_000  # µs after which rows have the rules that an edge of time gave them


def due(person: Person, timed: Iterable[Leaf], now: int) -> set[int]:
    """The next times (µs) after `now` at which the person is to be judged again; none if time changes nothing."""
    times = {person.permission.edge, person.permission.edge + SETTLING} if person.permission.edge < FOREVER else set()
    today = date.fromordinal(_EPOCH + now // DAY)
    timed = tuple(timed)
    days = [day for facts in person.known.values() for leaf in timed for day in flips(leaf, facts) if day > today]
    if person.known:
        days += [today + timedelta(1) for leaf in timed if isinstance(leaf.test, Holds)]
    if days:
        times.add((min(days).toordinal() - _EPOCH) * DAY)
    return times


def time_bound(studies: Iterable[Study]) -> tuple[Leaf, ...]:
    """The criteria that time may change, each once however many studies have it."""
    return tuple({id(leaf): leaf for study in studies for leaf in study.timed}.values())


def flips(leaf: Leaf, facts: Facts) -> Iterator[date]:
    """The days on which a criterion may come out otherwise than on the day before."""
    if isinstance(leaf.test, OfAge):
        for birth in facts.births:
            yield from _birthdays(leaf.test, birth)
    if isinstance(leaf.test, HadTherapy) and leaf.test.washout:
        for therapy in facts.therapies:
            yield from _ends(therapy.last, leaf.test.washout)
    if leaf.max_age:
        sources = [result.source for result in facts.results.values()]
        sources += [found.source for found in facts.variants] + [region.source for region in facts.regions]
        for source in (*sources, *(staged.source for staged in facts.stages)):
            yield from _ends(source.date, leaf.max_age)


def _birthdays(test: OfAge, birth: str) -> Iterator[date]:
    span = test.span
    counts = set()
    if span.low is not None:
        counts.add(floor(span.low) + 1 if span.low_open else ceil(span.low))
    if span.high is not None:
        counts.add(ceil(span.high) if span.high_open else floor(span.high) + 1)
    for born in _days(birth):
        for count in counts:
            day = reached(born, count, test.unit)
            if day is not None:
                yield day


def reached(born: date, count: int, unit: str) -> date | None:
    """The day on which so many completed units have passed since a day; the first of the next month where a month has
    no such day. None beyond the calendar."""
    try:
        if unit in ("d", "wk"):
            return born + timedelta(days=count * (7 if unit == "wk" else 1))
        months = born.year * 12 + born.month - 1 + count * (12 if unit == "a" else 1)
        year, month = divmod(months, 12)
        try:
            return date(year, month + 1, born.day)
        except ValueError:
            return date(year + (month == 11), (month + 1) % 12 + 1, 1)
    except (ValueError, OverflowError):
        return None


def _ends(written: str, duration: Duration) -> Iterator[date]:
    """The days around the end of a duration that begins on a date."""
    for day in _days(written):
        end = reached(day, duration.value, duration.unit)
        if end is not None and end < date.max - timedelta(days=CLAMP):
            yield from (end + timedelta(days=more) for more in range(-CLAMP, CLAMP + 1) if end.year > 1)


def _days(written: str) -> list[date]:
    """The first and the last day, and those beside them, of a date as written."""
    try:
        low, high = bounds(written)
        return [date.fromordinal(_EPOCH + us // DAY) for us in (low, high - DAY, high)]
    except (ValueError, OverflowError):
        return []
