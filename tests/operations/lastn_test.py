"""Observation/$lastn: the newest of each code, alike on both stores. https://hl7.org/fhir/R4/observation-operation-lastn.html"""

from typing import Any

from tests.client import Client, refusal

LOINC = "http://loinc.org"
LAB = [{"coding": [{"code": "laboratory"}]}]


def put(client: Client, id: str, date: str | None, *codes: str, subject: str = "p", **more: Any) -> None:
    coding = [{"system": LOINC, "code": code} for code in codes]
    body = {"resourceType": "Observation", "id": id, "status": "final", "category": LAB}
    code = {"coding": coding} if coding else {"text": "Pain Score"}
    body |= {"subject": {"reference": f"Patient/{subject}"}, "code": code, **more}
    body |= {"effectiveDateTime": date} if date else {}
    assert client("PUT", f"Observation/{id}", body).status_code == 201


def ids(client: Client, query: str) -> list[str]:
    answer = client("GET", f"Observation/$lastn?{query}")
    assert answer.status_code == 200, answer.text
    return [one["resource"]["id"] for one in answer.json().get("entry", ())]


def test_groups_and_their_order(client: Client) -> None:
    put(client, "old", "2020-01-01", "1")
    put(client, "mid", "2020-02-01", "1")
    put(client, "new", "2020-03-01T10:00:00Z", "1")
    put(client, "undated", None, "1")
    put(client, "two", "2020-02-15", "2")
    put(client, "both", "2020-01-15", "2", "3")
    put(client, "three", "2020-01-10", "3")
    put(client, "text", "2021-01-01")
    put(client, "same-text", "2020-06-01", code={"text": "pain  score"})
    put(client, "foreign", "2022-01-01", "1", subject="q")
    assert ids(client, "patient=p&category=laboratory") == ["text", "new", "two"]
    expected = ["text", "same-text", "new", "mid", "two", "both"]
    assert ids(client, "subject=Patient/p&category=laboratory&max=2") == expected
    assert ids(client, "patient=p&code=1&max=9") == ["new", "mid", "old", "undated"]
    assert ids(client, "patient=p&code=1,2&max=1&date=lt2020-03") == ["two", "mid"]
    assert ids(client, "patient=p&category=vital-signs") == []
    parameters = [{"name": "patient", "valueId": "p"}, {"name": "code", "valueString": "1"}]
    answer = client("POST", "Observation/$lastn", {"resourceType": "Parameters", "parameter": parameters})
    assert [one["resource"]["id"] for one in answer.json()["entry"]] == ["new"]


def test_refusals(client: Client) -> None:
    for query in (
        "", "patient=p", "category=laboratory", "patient=p&code=1&max=0", "patient=p&code=1&max=x",
        "patient=p&code=1&max=101", "patient=p&code=1&_sort=date", "patient=p&code=1&_count=3",
        "patient=p&code=1&nothing=1", "patient=p&code=1&max=1&max=2",
    ):  # fmt: skip
        answer = client("GET", f"Observation/$lastn?{query}")
        assert answer.status_code == 400, query
        refusal(answer)
