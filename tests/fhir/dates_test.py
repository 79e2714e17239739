"""https://hl7.org/fhir/R4/datatypes.html#dateTime"""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.fhir.dates import DAY, FUTURE, PAST, SECOND, bounds, instant


def us(*parts: int) -> int:
    return int((datetime(*parts, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "low", "width"),
    [
        ("2024", us(2024, 1, 1), 366 * DAY),
        ("2023", us(2023, 1, 1), 365 * DAY),
        ("2024-02", us(2024, 2, 1), 29 * DAY),
        ("2023-12", us(2023, 12, 1), 31 * DAY),
        ("2023-02-28", us(2023, 2, 28), DAY),
        ("2023-02-28T23:59", us(2023, 2, 28, 23, 59), 60 * SECOND),
        ("2023-02-28T23:59:59", us(2023, 2, 28, 23, 59, 59), SECOND),
        ("2023-02-28T23:59:59Z", us(2023, 2, 28, 23, 59, 59), SECOND),
        ("2023-02-28T23:59:59.5Z", us(2023, 2, 28, 23, 59, 59, 500_000), 100_000),
        ("2023-02-28T23:59:59.123Z", us(2023, 2, 28, 23, 59, 59, 123_000), 1000),
        ("2023-02-28T23:59:59.123456789Z", us(2023, 2, 28, 23, 59, 59, 123_456), 1),
        ("2023-01-01T00:00:00+14:00", us(2022, 12, 31, 10), SECOND),
        ("2023-01-01T00:00:00-05:30", us(2023, 1, 1, 5, 30), SECOND),
        ("2016-12-31T23:59:60Z", us(2017, 1, 1), SECOND),
        ("0001-01-01T00:00:00+14:00", PAST - 14 * 3600 * SECOND, SECOND),
    ],
)
def test_a_date_covers_as_much_as_it_says(text: str, low: int, width: int) -> None:
    assert bounds(text) == (low, low + width)


def test_the_open_ends_are_those_of_the_calendar() -> None:
    assert bounds("0001")[0] == PAST
    assert bounds("9999-12-31")[1] == FUTURE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0000",
        "24",
        "2024-13",
        "2024-00",
        "2023-02-29",
        "2024-2-3",
        "2024-02-30",
        "2024-01-01T24:00:00Z",
        "2024-01-01T10",
        "2024-01-01T10:61:00Z",
        "2024-01-01T10:00:61Z",
        "2024-01-01T10:00:00+15:00",
        "2024-01-01Z",
        "2024-01-01 10:00:00",
        "2024-01T10:00",
        "2024\n",
        "２０２４",
        "20240101",
        "2024-01-01T10:00:00z",
        "now",
    ],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (calendar errors carry Python's own words)
        bounds(text)


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)))
def test_an_instant_reads_back_as_itself(when: datetime) -> None:
    number = int((when - datetime(1970, 1, 1)) // timedelta(microseconds=1))
    text = instant(number)
    assert bounds(text)[0] == number
    assert text == (f"{when:%H:%M:%S}".join([f"{when.year:04}-{when:%m-%d}T", text[19:]]))
    assert len(text) == (24 if number % 1000 == 0 else 27)


@given(st.text(alphabet="0123456789-T:.Z+ ", max_size=30))
def test_nothing_but_value_error_comes_out(text: str) -> None:
    try:
        low, high = bounds(text)
    except ValueError:
        return
    assert low < high
