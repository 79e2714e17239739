"""Modifiers and special parameters on real resources, decided by the oracle. https://hl7.org/fhir/R4/search.html#modifiers"""

from contextlib import suppress
from decimal import Decimal
from math import asin, cos, radians, sin, sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.fhir.outcome import FhirError
from fhir_server.search.known import Members, Needed, Wanted
from fhir_server.search.parse import parse_search
from fhir_server.search.predicate import matches
from tests.search.ask import BASE, DEFINITIONS, NOW, finds, row, where

UCUM = "http://unitsofmeasure.org"
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "text": {"status": "generated", "div": "<div><b>Zoë</b> &amp; treated Thursdays</div>"},
    "name": [{"family": "Ito", "given": ["Hana", "Mei"]}],
    "birthDate": "1970-03",
    "gender": "female",
    "identifier": [
        {
            "system": "urn:mrn",
            "value": "7",
            "type": {"coding": [{"system": "urn:t", "code": "MR"}], "text": "Hospital No"},
        },
        {"system": "urn:ssn", "value": "8", "type": {"coding": [{"code": "SS"}]}},
    ],
    "maritalStatus": {"coding": [{"system": "urn:m", "code": "M", "display": "Married"}]},
    "communication": [{"language": {"coding": [{"code": "de", "display": "German"}], "text": "Swiss German"}}],
    "generalPractitioner": [{"identifier": {"system": "urn:npi", "value": "9"}, "display": "Dr Berg"}],
    "managingOrganization": {"reference": "Organization/o"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("identifier:of-type=urn:t|MR|7", True),
        ("identifier:ofType=urn:t|MR|7", True),
        ("identifier:of-type=|MR|7", True),
        ("identifier:of-type=urn:t|MR|8", False),
        ("identifier:of-type=urn:t|SS|8", False),
        ("identifier:of-type=|SS|8", True),
        ("identifier:text=hospital", True),
        ("identifier:text=number", False),
        ("language:text=swiss", True),
        ("language:text=GERMAN", True),
        ("language:text=man", False),
        ("language:text=french,ger", True),
        ("language:not=de", False),
        ("language:not=fr", True),
        ("general-practitioner:identifier=urn:npi|9", True),
        ("general-practitioner:identifier=9", True),
        ("general-practitioner:identifier=urn:npi|8", False),
        ("organization:identifier=9", False),
        ("_text=zoe", True),
        ("_text=thurs zo", True),
        ("_text=ito", False),
        ("_text=b", False),
        ("_content=ito mei", True),
        ("_content=ZOE", True),
        ("_content=ito otto", False),
        ("_content=otto,berg", True),
        ("_content=urn", False),
        ("_contained=false", True),
        ("name:not=x", None),
    ],
)
def test_modifiers(query: str, found: bool | None) -> None:
    if found is None:
        with pytest.raises(FhirError):
            finds(query, PATIENT)
    else:
        assert finds(query, PATIENT) is found


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ('name co "IT"', True),
        ("given eq hana", True),
        ("given eq han", False),
        ("given sw han", True),
        ("given ew na", True),
        ("given ew han", False),
        ('given eq "hana" and birthdate ge 1970-01-01', True),
        ("given eq x and birthdate ge 1970 or gender eq female", True),
        ("gender eq female or given eq x and birthdate ge 1980", True),
        ("(gender eq female or given eq x) and birthdate ge 1980", False),
        ("not (gender eq female)", False),
        ("gender ne male", True),
        ("gender ne female", False),
        ("death-date pr false", True),
        ("gender pr true", True),
        ("birthdate po 1970-03-05", True),
        ("birthdate po 1970-04", False),
        ("birthdate lt 1970-03-02 and birthdate sa 1969", True),
        ("organization re Organization/o", True),
        ("organization.name co clin", True),
        ('organization[name eq "x"].name co clin', False),
        ("organization[name sw big].name co clin", True),
        ("general-practitioner.name eq x", False),
        ("identifier eq urn:mrn|7", True),
        ("_id eq p", True),
        ("_lastUpdated le 2027", True),
        ('family eq "i\\u0074o"', True),
        ("_has:Observation:patient:code eq x", False),
        ("language co swiss", True),
    ],
)
def test_filters(filter: str, found: bool) -> None:
    organization = {"resourceType": "Organization", "id": "o", "name": "Big Clinic", "alias": ["Clinic"]}
    rows = [row(PATIENT), row(organization)]
    world = {(one.type, one.id): one for one in rows}
    asked = parse_search(DEFINITIONS, "Patient", [("_filter", filter)], False, NOW, BASE).where
    assert matches(asked, rows[0], world) is found


@pytest.mark.parametrize(
    "filter",
    ["", "name", "name xx y", 'name eq "x', "name eq x and", "(name eq x", "name eq x)", "name[given eq x] eq y",
     "a.b eq c", "nosuch eq 1", "birthdate co 1", "gender gt x", "birthdate eq soon", 'name eq "\\ud800"',
     "(" * 60 + "name eq x", "pr", "gender pr maybe", "organization.nosuch eq 1", "birthdate po soon",
     'name co " "', "not name eq x"],
)  # fmt: skip
def test_filters_that_make_no_sense_are_refused(filter: str) -> None:
    with pytest.raises(FhirError) as caught:
        parse_search(DEFINITIONS, "Patient", [("_filter", filter)], False, NOW, BASE)
    assert caught.value.status == 400


@given(st.text(alphabet='()[]" eqcoandor.name|\\x1', max_size=40))
def test_no_filter_breaks_the_parser(filter: str) -> None:
    with suppress(FhirError):
        parse_search(DEFINITIONS, "Patient", [("_filter", filter)], False, NOW, BASE)


def quantity(value: str, code: str, **more: Any) -> dict[str, Any]:
    amount = {"value": Decimal(value), "system": UCUM, "code": code, "unit": code, **more}
    return {"resourceType": "Observation", "code": {"coding": [{"code": "c"}]}, "valueQuantity": amount}


@pytest.mark.parametrize(
    ("value", "unit", "asked", "found"),
    [
        ("5.4", "g", "5400|mg", True),
        ("5.4", "mg", "0.0054|g", True),
        ("5.4", "mg", "0.0055|g", False),
        ("5.44", "g", "5.4|g", True),
        ("5.45", "g", "5.4|g", False),
        ("5449", "mg", "5.4|g", True),
        ("5450", "mg", "5.4|g", False),
        ("5350", "mg", "5.4|g", True),
        ("98.6", "[degF]", "37.0|Cel", True),
        ("310.15", "K", "37|Cel", True),
        ("37", "Cel", "gt98|[degF]", True),
        ("37", "Cel", "gt98.6|[degF]", False),
        ("120", "mm[Hg]", "16.0|kPa", True),
        ("4500", "/uL", "4.5|10*9/L", True),
        ("4500", "{cells}/uL", "4.5|10*3/uL", True),
        ("90", "mg/dL", "lt1|g/L", True),
        ("5", "mmol/L", "90|mg/dL", False),
        ("5", "{score}", "5|{count}", False),
        ("5", "{score}", "5|{score}", True),
        ("30", "d", "ap1|mo", True),
        ("12", "1/1000000{Base}", "12|/1000000", True),
    ],
)
def test_units_are_converted(value: str, unit: str, asked: str, found: bool) -> None:
    amount, _, code = asked.partition("|")
    resource = quantity(value, unit)
    assert finds(f"value-quantity={amount}|{UCUM}|{code}", resource) is found
    assert finds(f"code-value-quantity=c${amount}|{UCUM}|{code}", resource) is found
    assert finds(f"combo-value-quantity={amount}|{UCUM}|{code}", resource) is found
    assert finds(f"code-value-quantity=d${amount}|{UCUM}|{code}", resource) is False
    assert finds(f"value-quantity={value}||{unit}", resource)


def test_a_comparator_converts_too() -> None:
    less = quantity("5", "g", comparator="<")
    assert finds(f"value-quantity=lt4000|{UCUM}|mg", less)
    assert finds(f"value-quantity=gt4000|{UCUM}|mg", less)
    assert not finds(f"value-quantity=gt5000|{UCUM}|mg", less)


@pytest.mark.parametrize(
    ("modifier", "asked", "found"),
    [
        ("below", "http://acme.org/fhir", True),
        ("below", "http://acme.org/fhir/", True),
        ("below", "http://acme.org/fhir/ValueSet/1", True),
        ("below", "http://acme.org/fh", False),
        ("above", "http://acme.org/fhir/ValueSet/1/_history/2", True),
        ("above", "http://acme.org/fhir/ValueSet/1", True),
        ("above", "http://acme.org/fhir", False),
    ],
)
def test_urls_by_their_paths(modifier: str, asked: str, found: bool) -> None:
    resource = {"resourceType": "ValueSet", "url": "http://acme.org/fhir/ValueSet/1", "status": "active"}
    assert finds(f"url:{modifier}={asked}", resource) is found


@pytest.mark.parametrize(
    ("asked", "found"),
    [("http://x/q|1", True), ("http://x/q|1.2", True), ("http://x/q|1.2.3", True), ("http://x/q", True),
     ("http://x/q|1.2.3.4", False), ("http://x/q|1.20", False), ("http://x/q|2", False)],
)  # fmt: skip
def test_canonicals_by_their_versions(asked: str, found: bool) -> None:
    response = {"resourceType": "QuestionnaireResponse", "questionnaire": "http://x/q|1.2.3", "status": "completed"}
    assert finds(f"questionnaire:below={asked}", response) is found


def test_what_must_be_known_is_asked_for_and_used() -> None:
    observation = row({"resourceType": "Observation", "code": {"coding": [{"system": "s", "code": "a"}]}})
    asked = [("code:in", "http://x/vs"), ("code:not-in", "http://x/other"), ("code:below", "s|top")]
    answers = [Members((("s", "a"), ("s", "b"))), Members((("t", "a"),), ("u",)), Members((("s", "top"), ("s", "a")))]
    known: dict[Wanted, Members] = {}
    for answer in answers:
        with pytest.raises(Needed) as needed:
            parse_search(DEFINITIONS, "Observation", asked, False, NOW, BASE, known)
        known[needed.value.wanted] = answer
    found = parse_search(DEFINITIONS, "Observation", asked, False, NOW, BASE, known)
    assert matches(found.where, observation, {})
    known[Wanted("in", "http://x/other")] = Members((), ("s",))
    assert not matches(parse_search(DEFINITIONS, "Observation", asked, False, NOW, BASE, known).where, observation, {})
    with pytest.raises(Needed):
        parse_search(DEFINITIONS, "Patient", [("_has:Observation:patient:code:in", "x")], False, NOW, BASE)
    with pytest.raises(Needed):
        parse_search(DEFINITIONS, "Observation", [("subject.gender:in", "x")], True, NOW, BASE)


def test_lists() -> None:
    members = {"resourceType": "List", "id": "l", "entry": [{"item": {"reference": "Patient/p"}}]}
    assert finds("_list=l", PATIENT, members)
    assert finds("_list=k,l", PATIENT, members)
    assert not finds("_list=k", PATIENT, members)


def distance(one: tuple[float, float], two: tuple[float, float]) -> float:
    (a, b), (c, d) = [(radians(x), radians(y)) for x, y in (one, two)]
    return 2 * 6371.0088 * asin(sqrt(min(1, sin((c - a) / 2) ** 2 + cos(a) * cos(c) * sin((d - b) / 2) ** 2)))


PLACES = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@given(PLACES, st.tuples(st.floats(-3, 3), st.floats(-3, 3)), st.sampled_from([1, 30, 120, 400, 3000]))
def test_near_finds_all_within_and_little_beyond(
    centre: tuple[float, float], step: tuple[float, float], km: int
) -> None:
    scale = km / 100
    place = (max(-90.0, min(90.0, centre[0] + step[0] * scale)), (centre[1] + step[1] * scale + 180) % 360 - 180)
    location = {"resourceType": "Location", "position": {"latitude": place[0], "longitude": place[1]}}
    found = finds(f"near={centre[0]:.9f}|{centre[1]:.9f}|{km}|km", location)
    away = distance(centre, place)
    if away < km * 0.999:
        assert found
    if away > km * 1.2 and abs(centre[0]) + km / 111 < 89:
        assert not found


def test_near_takes_units_and_a_default() -> None:
    location = {"resourceType": "Location", "position": {"latitude": 42.25, "longitude": -83.7}}
    assert finds("near=42.25|-83.69", location)
    assert finds("near=42.25|-83.69|1|mi", location)
    assert not finds("near=42.25|-83.69|100|m", location)
    assert not finds("near=42.25|-82|50", location)


def test_where_is_small() -> None:
    assert len(str(where("Observation", f"value-quantity=5|{UCUM}|mg"))) < 800
