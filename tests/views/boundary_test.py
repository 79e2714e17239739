"""The boundaries of values, by their precision. https://hl7.org/fhir/fhirpath.html#functions"""

from decimal import Decimal
from typing import Any

import pytest

from fhir_server.fhir.codec import encode
from fhir_server.fhir.definitions import load
from fhir_server.views.view import each, view_of

NUMBERS = {
    "1.0": ("0.95", "1.05"),
    "1.587": ("1.5865", "1.5875"),
    "-3.5": ("-3.55", "-3.45"),
    "10": ("9.5", "10.5"),
    "0.0070": ("0.00695", "0.00705"),
    "353600.89123": ("353600.891225", "353600.891235"),
}
TIMES = {
    "2010": ("2010-01-01T00:00:00.000+14:00", "2010-12-31T23:59:59.999-12:00"),
    "2010-02": ("2010-02-01T00:00:00.000+14:00", "2010-02-28T23:59:59.999-12:00"),
    "2012-02": ("2012-02-01T00:00:00.000+14:00", "2012-02-29T23:59:59.999-12:00"),
    "2010-10-10": ("2010-10-10T00:00:00.000+14:00", "2010-10-10T23:59:59.999-12:00"),
    "2016-07-23T14:35Z": ("2016-07-23T14:35:00.000Z", "2016-07-23T14:35:59.999Z"),
    "2022-03-15T12:30:45-08:00": ("2022-03-15T12:30:45.000-08:00", "2022-03-15T12:30:45.999-08:00"),
    "2010-10-10T07:39:01.5+05:00": ("2010-10-10T07:39:01.500+05:00", "2010-10-10T07:39:01.599+05:00"),
}


def ends(resource: dict[str, Any], path: str) -> tuple[Any, Any]:
    columns = [{"name": end, "path": f"{path}.{end}Boundary()"} for end in ("low", "high")]
    view = {"resource": resource["resourceType"], "select": [{"column": columns}]}
    ((low, high),) = each(view_of(load(), view, ""), [encode(resource)])
    return low, high


@pytest.mark.parametrize("text", NUMBERS)
def test_half_a_unit_of_the_last_digit_of_a_number(text: str) -> None:
    number = Decimal(text) if "." in text else int(text)
    observation = {"resourceType": "Observation", "valueQuantity": {"value": number}}
    assert tuple(map(str, ends(observation, "value.ofType(Quantity).value"))) == NUMBERS[text]


@pytest.mark.parametrize("text", TIMES)
def test_a_dateTime_in_the_zones_where_it_begins_first_and_ends_last(text: str) -> None:
    observation = {"resourceType": "Observation", "effectiveDateTime": text}
    assert ends(observation, "effective.ofType(dateTime)") == TIMES[text]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("1970", "1970-01-01", "1970-12-31"),
        ("1900-02", "1900-02-01", "1900-02-28"),
        ("2024-02", "2024-02-01", "2024-02-29"),
        ("1994-05-18", "1994-05-18", "1994-05-18"),
    ],
)
def test_a_date_stays_a_date(text: str, low: str, high: str) -> None:
    assert ends({"resourceType": "Patient", "birthDate": text}, "birthDate") == (low, high)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("12:34", "12:34:00.000", "12:34:59.999"), ("12:34:08.7", "12:34:08.700", "12:34:08.799")],
)
def test_a_time(text: str, low: str, high: str) -> None:
    assert ends({"resourceType": "Observation", "valueTime": text}, "value.ofType(time)") == (low, high)


def test_what_is_not_there_has_none() -> None:
    assert ends({"resourceType": "Patient"}, "birthDate") == (None, None)


def test_digits_of_a_number() -> None:
    view = {"resource": "Observation", "select": [{"column": [
        {"name": "low", "path": "value.ofType(Quantity).value.lowBoundary(2)"},
        {"name": "high", "path": "value.ofType(Quantity).value.highBoundary(2)"},
    ]}]}  # fmt: skip
    compiled = view_of(load(), view, "")
    observation = {"resourceType": "Observation", "valueQuantity": {"value": Decimal("1.587")}}
    assert compiled.rows(observation) == [(Decimal("1.58"), Decimal("1.59"))]
