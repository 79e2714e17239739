"""What search values find: every type, prefix and modifier. https://hl7.org/fhir/R4/search.html"""

from typing import Any

import pytest

from fhir_server.fhir.outcome import FhirError
from tests.search.ask import BASE, finds, where

PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "active": True,
    "gender": "female",
    "birthDate": "1980-05-17",
    "identifier": [{"system": "urn:mrn", "value": "A|7"}, {"value": "no,system"}],
    "name": [{"family": "Łęcka-Ångström", "given": ["María José", "O$B"], "text": "Dr. MJ"}],
    "telecom": [{"system": "email", "value": "mj@x.org"}],
    "managingOrganization": {"reference": "Organization/o1"},
    "generalPractitioner": [{"reference": "http://other/fhir/Practitioner/9"}],
}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("family=angstrom", False),
        ("family=łęcka", True),
        ("family=ŁECKA-ang", True),
        ("family:contains=ngstro", True),
        ("family:exact=Łęcka-Ångström", True),
        ("family:exact=łęcka-ångström", False),
        ("given=maria", True),
        ("given=jose", False),
        ("given:contains=JOSE", True),
        ("given=o%5C$b", True),
        ("name=dr. mj", True),
        ("name=mar", True),
        ("phonetic=mar", True),
        ("given=x,maria", True),
        ("given=x&given=maria", False),
        ("given:contains=.*", False),
        ("gender=female", True),
        ("gender=http://hl7.org/fhir/administrative-gender|female", True),
        ("gender=|female", False),
        ("gender=x|female", False),
        ("gender=http://hl7.org/fhir/administrative-gender|", True),
        ("gender:not=male", True),
        ("gender:not=female", False),
        ("gender:not=male,female", False),
        ("gender=male,female", True),
        ("active=true", True),
        ("active=false", False),
        ("identifier=urn:mrn|A%5C|7", True),
        ("identifier=A%5C|7", True),
        ("identifier=|no%5C,system", True),
        ("identifier=no%5C,system", True),
        ("identifier=urn:mrn|", True),
        ("identifier=urn:m|", False),
        ("email=mj@x.org", True),
        ("telecom=mj@x.org", True),
        ("phone=mj@x.org", False),
        ("deceased=false", True),
        ("deceased:not=true", True),
        ("_id=p1", True),
        ("_id=p2,p1", True),
        ("_id=p2", False),
        ("_id:not=p1", False),
        ("organization=o1", True),
        ("organization=Organization/o1", True),
        ("organization:Organization=o1", True),
        (f"organization={BASE}/Organization/o1", True),
        ("organization=Organization/o1/_history/4", True),
        ("organization=Organization/o2", False),
        ("organization=http://other/fhir/Organization/o1", False),
        ("general-practitioner=http://other/fhir/Practitioner/9", True),
        ("general-practitioner=9", False),
        ("general-practitioner=Practitioner/9", False),
        ("language:missing=true", True),
        ("language:missing=false", False),
        ("name:missing=false", True),
        ("name:missing=true", False),
        ("organization:missing=false", True),
        ("phonetic:missing=false", True),
        ("_id:missing=true", False),
        ("birthdate:missing=false", True),
        ("_tag:missing=true", True),
        ("link:missing=true", True),
        ("language:not=en", True),
    ],
)
def test_patient(query: str, found: bool) -> None:
    assert finds(query, PATIENT) is found


def observation(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "code": {"coding": [{"system": "s", "code": "c"}]}, **more}


# The table of https://hl7.org/fhir/R4/search.html#prefix, on ranges: the resource's value, the search, what it finds.
DATES = [
    ("2013-01-14", "2013-01-14", "eq ge le ap"),
    ("2013-01-14T00:00:00Z", "2013-01-14", "eq ge le ap"),
    ("2013-01-14T23:59:59.999Z", "2013-01-14", "eq ge le ap"),
    ("2013-01-13T23:59:59.999Z", "2013-01-14", "ne lt le eb ap"),
    ("2013-01-15T00:00:00Z", "2013-01-14", "ne gt ge sa ap"),
    ("2013-01", "2013-01-14", "ne gt lt ge le ap"),
    ("2013-01-14", "2013-01", "eq ge le ap"),
    ("2013", "2012", "ne gt ge sa ap"),
    ("2014-12", "2014-12-31T23:59:59Z", "ne lt le ap"),
    ("2013-01-14T05:00:00+05:00", "2013-01-14T00:00:00Z", "eq ge le ap"),
    ({"start": "2013-01-14"}, "2013-01-14", "ne gt ge ap"),
    ({"end": "2013-01-14"}, "2013-01-14", "ne lt le ap"),
    ({"start": "2013-01-01", "end": "2013-01-20"}, "2013-01-14", "ne gt lt ge le ap"),
    ({"start": "2013-01-15", "end": "2013-01-20"}, "2013-01-14", "ne gt ge sa ap"),
    ({"start": "2013-01-01", "end": "2013-01-13"}, "2013-01-14", "ne lt le eb ap"),
    ("1990", "2013-01-14", "ne lt le eb"),
]


@pytest.mark.parametrize("prefix", ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])
@pytest.mark.parametrize(("value", "asked", "prefixes"), DATES)
def test_date_ranges(value: Any, asked: str, prefixes: str, prefix: str) -> None:
    resource = observation(**{"effectiveDateTime" if isinstance(value, str) else "effectivePeriod": value})
    assert finds(f"date={prefix}{asked.replace('+', '%2B')}", resource) is (prefix in prefixes.split())


def test_date_without_prefix_is_eq_and_a_lost_plus_is_found() -> None:
    resource = observation(effectiveDateTime="2013-01-14T10:00:00+02:00")
    assert finds("date=2013-01-14", resource)
    assert finds("date=2013-01-14T10:00:00+02:00", resource)
    assert finds("date=2013-01-14T08:00Z", resource)
    assert not finds("date=2013-01-14T10:00Z", resource)
    assert finds("date=2012,2013", resource)
    assert finds("date=ge2013-01-14&date=lt2013-01-15", resource)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("_lastUpdated=2026-01-01", True),
        ("_lastUpdated=2025", False),
        ("_lastUpdated=2026-01-01T00:00:00.000Z", True),
        ("_lastUpdated=gt2026-01-01", False),
        ("_lastUpdated=ge2026-01-01", True),
        ("_lastUpdated=lt2026-01-01", False),
        ("_lastUpdated=le2026-01-01", True),
        ("_lastUpdated=sa2025", True),
        ("_lastUpdated=gt2025-12-31", True),
        ("_lastUpdated=eb2026", False),
        ("_lastUpdated=ne2026", False),
        ("_lastUpdated=ne2025", True),
        ("_lastUpdated=ap2026", True),
        ("_lastUpdated=gt2025-12-31T23:59:59Z", True),
        ("_lastUpdated=le2025", False),
        ("_lastUpdated=ap2000", False),
        ("_lastUpdated:missing=false", True),
    ],
)
def test_last_updated_is_a_point(query: str, found: bool) -> None:
    assert finds(query, PATIENT) is found


@pytest.mark.parametrize(
    ("value", "query", "found"),
    [
        (5.4, "5.4", True),
        (5.35, "5.4", True),
        (5.4499, "5.4", True),
        (5.45, "5.4", False),
        (5.4, "5.40", True),
        (5.41, "5.40", False),
        (100, "100", True),
        (99.5, "100", True),
        (100.5, "100", False),
        (149, "1e2", True),
        (150, "1e2", False),
        (50, "1e2", True),
        (5.4, "ne5.4", False),
        (5.5, "ne5.4", True),
        (5.4, "gt5.4", False),
        (5.41, "gt5.4", True),
        (5.4, "ge5.4", True),
        (5.4, "lt5.4", False),
        (5.39, "lt5.4", True),
        (5.4, "le5.4", True),
        (5.4, "sa5.4", False),
        (5.41, "sa5.4", True),
        (5.39, "eb5.4", True),
        (5.9, "ap5.4", True),
        (6, "ap5.4", False),
        (-5.4, "-5.4", True),
        (-5.6, "ap-5.4", True),
        (0, "0", True),
        (0.00054, "5.4e-4", True),
        (5.4, "gt1e999", False),
        (5.4, "lt1e999", True),
        (5.4, "gt-1e999", True),
        (5.4, "5.4e0", True),
        (5.4, "+5.4", True),
    ],
)
def test_numbers(value: float, query: str, found: bool) -> None:
    encoded = query.replace("+", "%2B")
    assert finds(f"value-quantity={encoded}", observation(valueQuantity={"value": value})) is found
    risk = {"resourceType": "RiskAssessment", "prediction": [{"probabilityDecimal": value}]}
    assert finds(f"probability={encoded}", risk) is found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("5.4|u|mg", True),
        ("5.4|u|g", False),
        ("5.4|x|mg", False),
        ("5.4||mg", True),
        ("5.4||milligram", True),
        ("5.4||kg", False),
        ("5.4|u|", True),
        ("5.4", True),
        ("gt5|u|mg", True),
        ("gt6||mg", False),
        ("ne6||milligram", True),
        ("5||mg,5.4||mg", True),
        ("5.4||", True),
    ],
)
def test_quantity_units(query: str, found: bool) -> None:
    quantity = {"value": 5.4, "system": "u", "code": "mg", "unit": "milligram"}
    assert finds(f"value-quantity={query}", observation(valueQuantity=quantity)) is found


@pytest.mark.parametrize(
    ("quantity", "query", "found"),
    [
        ({"value": 5, "comparator": "<"}, "lt5", True),
        ({"value": 5, "comparator": "<"}, "gt5", False),
        ({"value": 5, "comparator": ">"}, "gt100", True),
        ({"value": 5, "comparator": ">"}, "sa4", True),
        ({"value": 5, "comparator": ">"}, "5", False),
        ({"value": 5, "comparator": ">"}, "ne5", True),
    ],
)
def test_comparators_open_an_end(quantity: dict[str, Any], query: str, found: bool) -> None:
    assert finds(f"value-quantity={query}", observation(valueQuantity=quantity)) is found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("http://x/q", True),
        ("http://x/q|2", True),
        ("http://x/q|1", False),
        ("http://x", False),
        ("Questionnaire/1", False),
    ],
)
def test_canonical_references(query: str, found: bool) -> None:
    response = {"resourceType": "QuestionnaireResponse", "questionnaire": "http://x/q|2"}
    assert finds(f"questionnaire={query}", response) is found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("url=http://x/v", True),
        ("url=http://x/V", False),
        ("url=http://x", False),
        ("url=http://y,http://x/v", True),
        ("_profile=http://x/p", True),
        ("_profile=http://x/p|1", True),
        ("_profile=http://x/p|2", False),
    ],
)
def test_uris(query: str, found: bool) -> None:
    assert (
        finds(query, {"resourceType": "ValueSet", "url": "http://x/v", "meta": {"profile": ["http://x/p|1"]}}) is found
    )


PANEL = observation(
    valueCodeableConcept={"coding": [{"system": "s", "code": "a,b$c"}]},
    component=[
        {"code": {"coding": [{"system": "s", "code": "x"}]}, "valueQuantity": {"value": 1, "code": "mg"}},
        {"code": {"coding": [{"system": "s", "code": "y"}]}, "valueQuantity": {"value": 9, "code": "mg"}},
    ],
)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("component-code-value-quantity=x$1", True),
        ("component-code-value-quantity=x$9", False),
        ("component-code-value-quantity=s|y$gt8||mg", True),
        ("component-code-value-quantity=s|x$gt8||mg", False),
        ("component-code-value-quantity=x$ne1", False),
        ("component-code-value-quantity=x$ne1,y$ne1", True),
        ("combo-code-value-quantity=y$9||mg", True),
        ("combo-code-value-quantity=c$9", False),
        ("code-value-concept=c$a%5C,b%5C$c", True),
        ("code-value-concept=s|c$s|a%5C,b%5C$c", True),
        ("code-value-concept=c$a", False),
        ("combo-code=x", True),
        ("combo-code=c", True),
        ("combo-code=z", False),
        ("combo-code:not=z", True),
        ("combo-code:not=x", False),
        ("combo-value-quantity=9", True),
        ("combo-value-concept=a%5C,b%5C$c", True),
        ("combo-value-quantity:missing=true", False),
        ("combo-value-quantity:missing=false", True),
        ("value-quantity:missing=true", True),
        ("component-code-value-quantity:missing=false", True),
        ("code-value-date:missing=true", True),
    ],
)
def test_composites_and_combos(query: str, found: bool) -> None:
    assert finds(query, PANEL) is found


@pytest.mark.parametrize(
    ("reference", "query", "found"),
    [
        ("Patient/1", "patient=1", True),
        ("Patient/1", "patient=Patient/1", True),
        ("Patient/1", "subject=1", True),
        ("Patient/1", "subject:Patient=1", True),
        ("Patient/1", "subject:Patient=Patient/1", True),
        ("Group/1", "patient=1", False),
        ("Group/1", "patient=Group/1", False),
        ("Group/1", "subject=1", True),
        ("Group/1", "subject:Patient=1", False),
        ("Group/1", "patient:missing=true", True),
        ("Group/1", "subject:missing=true", False),
        ("Patient/1", "patient:missing=false", True),
        ("http://o/Patient/1", "patient=http://o/Patient/1", True),
        ("Patient/1", "patient:Patient=1", True),
    ],
)
def test_the_patient_alias(reference: str, query: str, found: bool) -> None:
    assert finds(query, observation(subject={"reference": reference})) is found


@pytest.mark.parametrize(
    ("type", "query", "says"),
    [
        ("Patient", "birthdate=soon", "'birthdate': 'soon' is not valid. Expected a date"),
        ("Patient", "birthdate=xx2020", "Expected a date"),
        ("Patient", "birthdate=2020-13", "Expected a date"),
        ("Patient", "birthdate=gt", "Expected a date"),
        ("Patient", "_lastUpdated=x", "'_lastUpdated'"),
        ("Patient", "name:exact:x=a", "Modifier 'exact:x'"),
        ("Patient", "gender:exact=a", "Modifier 'exact' of 'gender'"),
        ("Patient", "name:missing=1", "'name:missing': '1' is not valid. Expected true or false"),
        ("Patient", "gender=a,,b", "Expected a value"),
        ("Patient", "gender=|", "Expected code, system|code"),
        ("Patient", "name=%CC%81", "some letters or digits"),
        ("Patient", "nme=x", "Patient has no search parameter 'nme'"),
        ("Patient", "organization:Group=1", "does not refer to a Group, but to Organization"),
        ("Patient", "organization:Organization=Group/1", "Expected the id of a Organization"),
        ("Patient", "organization=a/b/c", "Expected an id"),
        ("Patient", "name:identifier=a|b", "Modifier 'identifier'"),
        ("Patient", "gender=", "has no value"),
        ("Patient", "_text=.", "no word"),
        ("Patient", "_filter=x", "there should be one of"),
        ("Location", "near=91|2|3", "not latitude|longitude"),
        ("Patient", "near=1|2|3", "no search parameter"),
        ("Patient", "_list=$current-problems", "functional list"),
        ("Patient", "_contained=maybe", "not one of false, true, both"),
        ("Patient", "identifier:of-type=a|b", "Expected system|code|value"),
        ("Patient", "gender:of-type=a|b|c", "Modifier 'of-type'"),
        ("Patient", "gender:text=.,", "Expected a value"),
        ("Patient", "gender:below=male", "Expected system|code"),
        ("Patient", "organization:identifier.name=x", "cannot be followed"),
        ("ValueSet", "url:below=urn:oid:1.2", "a URN has nothing above or below"),
        ("Observation", "value-quantity=5|mg", "Expected number"),
        ("Observation", "value-quantity=gt", "Expected number"),
        ("Observation", "value-quantity=1e999999999", "Expected number"),
        ("Observation", "value-quantity=NaN", "Expected number"),
        ("Observation", "value-quantity=Infinity", "Expected number"),
        ("Observation", "value-quantity=" + "9" * 5000, "Expected number"),
        ("Observation", "value-quantity=٣", "Expected number"),
        ("Observation", "code-value-quantity=a", "Expected code$value-quantity"),
        ("Observation", "code-value-quantity=a$b", "Expected number"),
        ("Observation", "code-value-quantity=a$1$2", "Expected code$value"),
        ("Observation", "code-value-quantity=a$", "Expected code$value"),
        ("Observation", "code-value-quantity=s|$1", "a code for code"),
        ("Observation", "code-value-quantity:not=a$1", "Modifier 'not'"),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(type: str, query: str, says: str) -> None:
    with pytest.raises(FhirError) as caught:
        where(type, query)
    assert caught.value.status == 400
    assert says in str(caught.value)
