"""What a permit for data without identity, or without contact details, leaves of a resource. docs/consent.md"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.access.deidentify import deidentified
from fhir_server.access.pseudonyms import earlier, pseudonyms
from fhir_server.access.subjects import person_types
from fhir_server.fhir.definitions import load
from tests.access.consent_http_test import House
from tests.access.statements_world import D1, D2, NOW, Resource, deny, label, permit, research
from tests.auth.door import smart

NAMES = pseudonyms(b"secret", "Organization/o1")
PERSONAL = frozenset(person_types(load()))
RSDID = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentcategorycodes", "code": "rsdid"}]}
ANNE: Resource = {
    "resourceType": "Patient", "id": "p", "name": [{"family": "Fir", "given": ["Anne"]}], "gender": "female",
    "birthDate": "1960-05-01", "identifier": [{"system": "urn:mrn", "value": "MRN123"}],
    "telecom": [{"system": "phone", "value": "555-1"}], "address": [{"city": "Fernhill", "postalCode": "12345"}],
    "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">Anne Fir</div>"},
    "deceasedDateTime": "2024-03-02T10:00:00Z",
    "managingOrganization": {"reference": "Organization/o1", "display": "Hill"},
    "extension": [{"url": "http://x/race", "valueCode": "a"}, {"url": "http://x/note", "valueString": "Anne"}],
}  # fmt: skip
SEEN: Resource = {
    **D1, "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "1", "display": "d"}], "text": "of Anne"},
    "valueQuantity": {"value": 1.50, "unit": "mg", "code": "mg"}, "note": [{"text": "Anne called"}],
    "performer": [{"reference": "Practitioner/gp", "display": "Dr"}], "specimen": {"reference": "Specimen/d4"},
    "effectiveDateTime": "2025-03-01",
}  # fmt: skip


def told(resource: Resource) -> Resource:
    return deidentified(load(), resource, NAMES, "p", PERSONAL, NOW)


def test_only_what_tells_nothing_of_a_person_stays() -> None:
    patient, seen = told(ANNE), told(SEEN)
    both = json.dumps([patient, seen])
    for word in ("Anne", "Fir", "MRN123", "555", "Fernhill", "12345", "Hill", "1960-05", "2025-03-01", "2024-03-02",
                 '"p"', "Patient/p", "Specimen/d4", "Dr"):  # fmt: skip
        assert word not in both, word
    assert (patient["gender"], patient["birthDate"]) == ("female", "1960")
    assert patient["extension"] == [{"url": "http://x/race", "valueCode": "a"}, {"url": "http://x/note"}]
    assert patient["managingOrganization"] == {"reference": "Organization/o1"}
    assert seen["code"] == {"coding": [{"system": "http://loinc.org", "code": "1"}]}
    assert seen["valueQuantity"] == {"value": 1.50, "unit": "mg", "code": "mg"}
    assert seen["subject"] == {"reference": f"Patient/{patient['id']}"}, "the same name everywhere"
    assert seen["effectiveDateTime"] == earlier("2025-03-01", NAMES.days("p"))
    assert "birthDate" not in told({**ANNE, "birthDate": "1930-01-01"}), "so old that the year would tell"


@given(st.one_of(st.uuids().map(str), st.from_regex(r"[A-Za-z0-9\-.]{1,64}", fullmatch=True)))
def test_a_name_is_read_back_by_its_recipient_alone(id: str) -> None:
    name = NAMES.name("Patient", id)
    assert len(name) == 32
    assert name == NAMES.name("Patient", id)
    original = NAMES.original("Patient", name)
    assert original == id if len(id) <= 15 or (len(id) == 36 and original is not None) else original is None
    other = pseudonyms(b"secret", "Organization/o2")
    assert other.name("Patient", id) != name
    assert other.original("Patient", name) != id
    assert NAMES.original("Observation", name) != id


@pytest.mark.parametrize("text", ["", "x", "0" * 31, "27e86131-ccbd-4497-8e28-96a21c1cc749", "ä" * 32])
def test_no_name(text: str) -> None:
    assert NAMES.original("Patient", text) is None


@given(st.dates(), st.sampled_from([4, 7, 10]), st.integers(1, 365))
def test_dates_move_as_precisely_as_they_are(day: Any, length: int, days: int) -> None:
    text = day.isoformat()[:length]
    if day.year > 2:
        moved = earlier(text, days)
        assert len(moved) == length
        assert moved <= text
    assert earlier("2024-03-01T10:00:00.5+02:00", 1) == "2024-02-29T10:00:00.5+02:00"


@pytest.fixture
def house(store_url: str) -> Iterator[House]:
    opened = House(smart(store_url, audit=False))
    opened.register(id="app", redirects=("https://app.example/",))
    for one in (ANNE, SEEN, {**D2, "status": "final", "code": {"text": "x"}},
                {"resourceType": "Patient", "id": "q", "name": [{"family": "Oak"}]}):  # fmt: skip
        assert opened.registry("PUT", f"{one['resourceType']}/{one['id']}", one).status_code == 201
    yield opened
    opened.close()


def test_a_permit_without_identity(house: House) -> None:
    house.say({**research(permit("HRESCH")), "category": [RSDID]})
    researcher = house.researcher()
    (patient,) = (e["resource"] for e in researcher("GET", "Patient?gender=female").json()["entry"])
    assert "name" not in patient
    assert patient["id"] != "p"
    assert "Fir" not in researcher("GET", "Patient").text
    assert researcher("GET", "Patient?_summary=count").json()["total"] == 1
    again = researcher("GET", f"Patient/{patient['id']}")
    assert again.json() == patient
    assert again.headers["last-modified"] != house.registry("GET", "Patient/p").headers["last-modified"]
    for hidden in ("Patient?family=Fir", "Patient?identifier=MRN123", "Patient?_id=p", "Patient?birthdate=1960-05-01",
                   "Patient?family:missing=false", "Patient?_lastUpdated=gt2000", "Patient?_text=anne",
                   "Observation?patient=p", "Observation?date=2025-03-01",
                   "Observation?patient.family=Fir"):  # fmt: skip
        assert researcher("GET", hidden).json().get("total") == 0, hidden
    assert researcher("GET", "Patient?_sort=family").json()["total"] == 0
    assert researcher("GET", "Patient/p").status_code == 404, "by a name that is not for them"
    assert researcher("GET", f"Patient/{patient['id']}/_history").status_code == 404
    assert researcher("GET", "Patient/$everything").json().get("entry", []) == []
    found = researcher("GET", "Observation?value-quantity=1.5").json()["entry"]
    assert [e["resource"]["subject"]["reference"] for e in found] == [f"Patient/{patient['id']}"]
    assert [e["fullUrl"].split("/")[-1] for e in found] == [found[0]["resource"]["id"]]
    assert "entry" in researcher("GET", "Observation?_include=Observation:subject").json()
    other = house.researcher(who="Organization/o2")
    (theirs,) = (e["resource"] for e in other("GET", "Patient").json()["entry"])
    assert theirs["id"] != patient["id"], "two recipients cannot join what they have"
    assert other("GET", f"Patient/{patient['id']}").status_code == 404
    house.say({**research(permit("HRESCH")), "category": [RSDID], "status": "inactive"})
    assert researcher("GET", f"Patient/{patient['id']}").status_code == 404


def test_a_permit_without_contact_details(house: House) -> None:
    house.say(research(permit("HRESCH", nested=[deny(securityLabel=[label("contact")])])))
    researcher = house.researcher()
    patient = researcher("GET", "Patient/p").json()
    assert patient["name"] == ANNE["name"]
    assert {"telecom", "address", "text"}.isdisjoint(patient)
    assert researcher.sees("Patient?family=Fir") == {"p"}
    for hidden in ("Patient?phone=555-1", "Patient?address-city=Fernhill", "Patient?address=fernhill"):
        assert researcher.sees(hidden) == set(), hidden
    assert researcher.sees("Observation") == {"d1", "d2"}
