"""Random dates, numbers and texts: the parsed predicate against a definition written independently, on exact values."""

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.search.ask import finds

PREFIXES = st.sampled_from(["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"])
WIDTHS = ("%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ")


def observation(**value: object) -> dict[str, object]:
    return {"resourceType": "Observation", **value}


@st.composite
def dates(draw: st.DrawFn) -> tuple[str, datetime, datetime]:
    """A date as text, its first moment, and the first moment after it."""
    # Few days, so that ranges meet, nest and touch often.
    when = datetime(2019, 12, 30) + timedelta(seconds=draw(st.integers(0, 3 * 24)) * 3600)
    width = draw(st.sampled_from(WIDTHS))
    start = datetime.strptime(when.strftime(width), width)
    following = {
        "%Y": lambda: start.replace(year=start.year + 1),
        "%Y-%m": lambda: (start + timedelta(days=31)).replace(day=1),
        "%Y-%m-%d": lambda: start + timedelta(days=1),
        WIDTHS[3]: lambda: start + timedelta(seconds=1),
    }[width]()
    return when.strftime(width), start, following


def naive(prefix: str, low: object, high: object, start: object, end: object) -> bool:
    """R4's words on [low, high) of the resource and [start, end) of the search."""
    contained = start <= low and high <= end  # type: ignore[operator]
    above, below = high > end, low < start  # type: ignore[operator]
    return {
        "": contained,
        "eq": contained,
        "ne": not contained,
        "gt": above,
        "lt": below,
        "ge": above or contained,
        "le": below or contained,
        "sa": low >= end,
        "eb": high <= start,
    }[prefix]  # type: ignore[operator]


@given(PREFIXES, dates(), dates())
def test_date(prefix: str, resource: tuple[str, datetime, datetime], asked: tuple[str, datetime, datetime]) -> None:
    want = naive(prefix, *resource[1:], *asked[1:])
    assert finds(f"date={prefix}{asked[0]}", observation(effectiveDateTime=resource[0])) is want


@given(PREFIXES, st.tuples(dates(), dates()), dates())
def test_period(
    prefix: str, ends: tuple[tuple[str, datetime, datetime], ...], asked: tuple[str, datetime, datetime]
) -> None:
    first, last = sorted(ends, key=lambda one: (one[1], one[2]))
    if last[2] < first[2]:
        last = first
    period = {"start": first[0], "end": last[0]}
    want = naive(prefix, first[1], last[2], *asked[1:])
    assert finds(f"date={prefix}{asked[0]}", observation(effectivePeriod=period)) is want


@given(PREFIXES, dates(), st.integers(0, 3 * 24 * 60))
def test_last_updated(prefix: str, asked: tuple[str, datetime, datetime], minutes: int) -> None:
    when = datetime(2019, 12, 30) + timedelta(minutes=minutes)
    moment = timedelta(microseconds=1)
    updated = (when - datetime(1970, 1, 1)) // moment
    want = naive(prefix, when, when + moment, *asked[1:])
    assert finds(f"_lastUpdated={prefix}{asked[0]}", {"resourceType": "Patient"}, updated=updated) is want


NUMBERS = st.decimals(-20, 20, places=2).map(lambda number: number.normalize()) | st.decimals(-20, 20, places=1)


@given(PREFIXES | st.just("ap"), NUMBERS, NUMBERS)
def test_number(prefix: str, value: Decimal, asked: Decimal) -> None:
    text = str(asked)
    digits = text.partition("E")[0].partition(".")[2]
    exponent = int(text.partition("E")[2] or 0) - len(digits)
    half = Fraction(10) ** exponent / 2
    have, want = Fraction(value), Fraction(asked)
    equal = want - half <= have < want + half
    meaning = {
        "": equal,
        "eq": equal,
        "ne": not equal,
        "gt": have > want,
        "lt": have < want,
        "ge": have >= want,
        "le": have <= want,
        "sa": have > want,
        "eb": have < want,
        "ap": abs(have - want) <= abs(want) / 10,
    }[prefix]
    # Equality across decimal and binary: a value exactly on a bound may fall to either side of a float.
    if prefix != "ap" or abs(have - want) != abs(want) / 10:
        query = f"value-quantity={prefix}{text}".replace("+", "%2B")
        assert finds(query, observation(valueQuantity={"value": value})) is meaning


@given(st.text("ab,\\ é", min_size=1, max_size=3), st.text("ab,\\ é", min_size=1, max_size=3))
def test_exact_strings(have: str, want: str) -> None:
    escaped = want.replace("\\", "\\\\").replace(",", "\\,")
    query = f"name:exact={quote(escaped)}"
    assert finds(query, {"resourceType": "Organization", "name": have or " "}) is (
        have == want or (not have and want == " ")
    )


@pytest.mark.parametrize("code", ["a,b", "a|b", "a$b", "a\\b", "\\", "\\,", "a\\\\,b|$"])
def test_escaped_tokens(code: str) -> None:
    escaped = code
    for sign in "\\,|$":
        escaped = escaped.replace(sign, "\\" + sign)
    resource = observation(
        code={"coding": [{"system": "s", "code": code}]}, valueCodeableConcept={"coding": [{"code": code}]}
    )
    assert finds(f"code={quote(escaped)}", resource)
    assert finds(f"code=s|{quote(escaped)}", resource)
    assert finds(f"code-value-concept={quote(escaped)}${quote(escaped)}", resource)
    assert not finds(f"code={quote(escaped)}x", resource)
