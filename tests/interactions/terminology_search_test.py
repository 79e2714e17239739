"""Searches by value sets, code hierarchies and hierarchies of resources, over HTTP on both stores. https://hl7.org/fhir/R4/search.html#token"""

from itertools import pairwise
from typing import Any
from urllib.parse import quote

import pytest

from tests.client import BASE, Client, refusal

LOINC, OWN, CHAIN = "http://loinc.org", "urn:own", "http://x/ValueSet/"
SYSTEM: dict[str, Any] = {
    "resourceType": "CodeSystem", "url": OWN, "status": "active", "content": "complete", "hierarchyMeaning": "is-a",
    "concept": [
        {"code": "tumour", "concept": [
            {"code": "carcinoma", "concept": [{"code": "lung"}, {"code": "colon"}]},
            {"code": "sarcoma", "property": [{"code": "inactive", "valueBoolean": True}]},
        ]},
        {"code": "cold", "property": [{"code": "season", "valueCode": "winter"}]},
    ],
}  # fmt: skip


def value_set(name: str, *include: dict[str, Any], **more: Any) -> dict[str, Any]:
    compose = {"include": list(include), **more}
    return {"resourceType": "ValueSet", "id": name, "url": CHAIN + name, "status": "active", "compose": compose}


def picked(property: str, op: str, value: str) -> dict[str, Any]:
    return {"system": OWN, "filter": [{"property": property, "op": op, "value": value}]}


SETS = (
    value_set("listed", {"system": OWN, "concept": [{"code": "lung"}, {"code": "cold"}]}),
    value_set("whole", {"system": OWN}),
    value_set("active", {"system": OWN}, inactive=False),
    value_set("loinc", {"system": LOINC}),
    value_set("is-a", picked("concept", "is-a", "carcinoma")),
    value_set("descendent", picked("concept", "descendent-of", "carcinoma")),
    value_set("not-a", picked("concept", "is-not-a", "carcinoma")),
    value_set("generalizes", picked("concept", "generalizes", "lung")),
    value_set("winter", picked("season", "=", "winter")),
    value_set("seasonal", picked("season", "exists", "true")),
    value_set("among", picked("code", "in", "lung,cold")),
    value_set("not-among", picked("code", "not-in", "lung,cold")),
    value_set("regex", picked("code", "regex", "l.*")),
    value_set("import", {"valueSet": [CHAIN + "is-a"]}),
    value_set("both", {"valueSet": [CHAIN + "is-a", CHAIN + "listed"]}),
    value_set("within", {"system": OWN, "valueSet": [CHAIN + "listed"]}),
    value_set("without", {"system": OWN}, exclude=[picked("concept", "is-a", "carcinoma")]),
    value_set("open", {"system": LOINC}, exclude=[{"system": LOINC, "concept": [{"code": "1"}]}]),
    value_set("loop", {"valueSet": [CHAIN + "loop"]}),
    value_set("broken", {"valueSet": [CHAIN + "nowhere"]}),
    value_set("large", {"system": OWN, "concept": [{"code": f"c{number}"} for number in range(25_001)]}),
    value_set("many", {"system": OWN, "concept": [{"code": "colon"}, *({"code": f"c{n}"} for n in range(4000))]}),
)
CODES = ("tumour", "carcinoma", "lung", "colon", "sarcoma", "cold")


@pytest.fixture
def loaded(client: Client) -> Client:
    conditions = [
        {"resourceType": "Condition", "id": code, "code": {"coding": [{"system": OWN, "code": code}]},
         "subject": {"reference": "Patient/p"}}
        for code in CODES
    ]  # fmt: skip
    test = {"resourceType": "Condition", "id": "loinc", "code": {"coding": [{"system": LOINC, "code": "1"}]},
            "subject": {"reference": "Patient/p"}}  # fmt: skip
    patient = {"resourceType": "Patient", "id": "p", "gender": "female"}
    resources = [{**SYSTEM, "id": "own"}, *SETS, patient, *conditions, test]
    entries = [{"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
               for one in resources]  # fmt: skip
    answer = client("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text
    return client


def ids(client: Client, path: str) -> str:
    answer = client("GET", path)
    assert answer.status_code == 200, answer.text
    return " ".join(entry["resource"]["id"] for entry in answer.json().get("entry", ()))


WANT = {
    "in=listed": "lung cold",
    "in=whole": "tumour carcinoma lung colon sarcoma cold",
    "in=active": "tumour carcinoma lung colon cold",
    "in=loinc": "loinc",
    "in=is-a": "carcinoma lung colon",
    "in=descendent": "lung colon",
    "in=not-a": "tumour sarcoma cold",
    "in=generalizes": "tumour carcinoma lung",
    "in=winter": "cold",
    "in=seasonal": "cold",
    "in=among": "lung cold",
    "in=not-among": "tumour carcinoma colon sarcoma",
    "in=import": "carcinoma lung colon",
    "in=both": "lung",
    "in=within": "lung cold",
    "in=without": "tumour sarcoma cold",
    "in=many": "colon",
    "not-in=is-a": "tumour sarcoma cold loinc",
}


def test_value_sets(loaded: Client) -> None:
    for query, want in WANT.items():
        modifier, _, name = query.partition("=")
        assert ids(loaded, f"Condition?code:{modifier}={CHAIN}{name}") == want, query
        assert ids(loaded, f"Condition?code:{modifier}=ValueSet/{name}&_sort=_lastUpdated") == want
    assert ids(loaded, f"Condition?code:in={BASE}/ValueSet/listed") == "lung cold"
    assert ids(loaded, f"Condition?code:in={CHAIN}winter,{CHAIN}is-a") == "carcinoma lung colon cold"
    assert ids(loaded, f"Patient?_has:Condition:patient:code:in={CHAIN}winter") == "p"
    genders = "http://hl7.org/fhir/ValueSet/administrative-gender"
    assert ids(loaded, f"Condition?patient.gender:in={genders}&code=cold") == "cold"
    assert ids(loaded, "Condition?_filter=" + quote(f"code in {CHAIN}winter or code ss {OWN}|carcinoma")) == (
        "carcinoma lung colon cold"
    )


def test_hierarchies(loaded: Client) -> None:
    assert ids(loaded, f"Condition?code:below={OWN}|carcinoma") == "carcinoma lung colon"
    assert ids(loaded, f"Condition?code:above={OWN}|lung") == "tumour carcinoma lung"
    assert ids(loaded, f"Condition?code:below={OWN}|cold") == "cold"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("code:in=http://x/ValueSet/nosuch", "not-found"),
        ("code:in=ValueSet/nosuch", "not-found"),
        (f"code:in={CHAIN}broken", "not-found"),
        (f"code:in={CHAIN}regex", "not-supported"),
        (f"code:in={CHAIN}open", "not-supported"),
        (f"code:not-in={CHAIN}open", "not-supported"),
        (f"code:in={CHAIN}loop", "too-costly"),
        (f"code:in={CHAIN}large", "too-costly"),
        (f"code:below={LOINC}|1", "not-found"),
        (f"code:below={OWN}|nosuch", "not-found"),
        ("subject:below=Patient/p", "not-supported"),
    ],
)
def test_what_cannot_be_expanded_is_said(loaded: Client, query: str, code: str) -> None:
    answer = loaded("GET", f"Condition?{query}")
    assert answer.status_code == 400
    assert refusal(answer)["code"] == code


def test_sets_that_name_each_other_many_times_are_made_once(loaded: Client) -> None:
    """Ten times ten times ten ... imports: without memory the last would take for ever."""
    names = ["is-a", *(f"deep{number}" for number in range(15))]
    for below, above in pairwise(names):
        parts = [{"valueSet": [CHAIN + below]} for _ in range(10)]
        assert loaded("PUT", f"ValueSet/{above}", value_set(above, *parts)).status_code == 201
    assert ids(loaded, f"Condition?code:in={CHAIN}{names[-1]}") == "carcinoma lung colon"
    told = loaded("GET", f"ValueSet/{names[-1]}/$validate-code?system={OWN}&code=cold").json()
    assert told["parameter"][0]["valueBoolean"] is False


def test_conditional_criteria_take_no_value_sets(loaded: Client) -> None:
    answer = loaded("DELETE", f"Condition?code:in={CHAIN}winter")
    assert answer.status_code == 400
    assert "searches only" in refusal(answer)["diagnostics"]


def test_parts_of_places(client: Client) -> None:
    for id, parent in (("house", ""), ("ward", "house"), ("room", "ward"), ("other", "")):
        part = {"partOf": {"reference": f"Location/{parent}"}} if parent else {}
        assert client("PUT", f"Location/{id}", {"resourceType": "Location", "id": id, **part}).status_code == 201
        encounter = {"resourceType": "Encounter", "id": id, "status": "finished", "class": {"code": "AMB"},
                     "location": [{"location": {"reference": f"Location/{id}"}}]}  # fmt: skip
        assert client("PUT", f"Encounter/{id}", encounter).status_code == 201
    assert ids(client, "Encounter?location:below=Location/house") == "house ward room"
    assert ids(client, "Encounter?location:above=room") == "house ward room"
    assert ids(client, "Encounter?location:below=other") == "other"
    assert ids(client, "Location?partof:below=Location/house") == "ward room"
