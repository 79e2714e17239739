"""What a participant can ask and say of their consent. docs/consent.md"""

from collections.abc import Iterator
from typing import Any

import pytest

from fhir_server.audit.fold import fold
from tests.access.consent_http_test import GERMLINE, WORLD, House
from tests.access.statements_world import Resource, actor, deny, permit, research
from tests.auth.door import smart

PARTICIPANT: Any = {"user": "Patient/p", "patient": "p"}


@pytest.fixture
def house(store_url: str) -> Iterator[House]:
    opened = House(smart(store_url))
    opened.register(id="app", redirects=("https://app.example/",))
    entries = [{"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
               for one in WORLD]  # fmt: skip
    answer = opened.registry("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text
    yield opened
    opened.close()


def said(answer: Any, name: str) -> list[dict[str, Any]]:
    """The parameters of a name, each as a dict of its parts; a part that repeats is a list."""
    assert answer.status_code == 200, answer.text
    found = []
    for one in answer.json().get("parameter", ()):
        if one["name"] == name:
            parts: dict[str, Any] = {}
            for part in one.get("part", ()):
                value = next((v for k, v in part.items() if k.startswith("value")), part.get("part"))
                parts.setdefault(part["name"], []).append(value)
            found.append(parts or {"": [next(v for k, v in one.items() if k.startswith("value"))]})
    return found


def parameters(**given: Any) -> Resource:
    listed = []
    for name, values in given.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, bool):
                listed.append({"name": name, "valueBoolean": value})
            elif isinstance(value, dict):
                listed.append({"name": name, "part": [
                    {"name": key, "valueString": one} for key, ones in value.items()
                    for one in (ones if isinstance(ones, list) else [ones])]})  # fmt: skip
            else:
                listed.append({"name": name, "valueString": value})
    return {"resourceType": "Parameters", "parameter": listed}


def test_explain_says_who_may_see_what_and_why(house: House) -> None:
    house.say(research(permit("HRESCH", nested=[GERMLINE, deny(actor=[actor("Organization/o2")])])))
    me = house.as_("patient/*.rs", **PARTICIPANT)
    cells = said(me("GET", "Consent/$explain?patient=Patient/p&purpose=HRESCH"), "decision")
    assert {c["recipient"][0].get("reference") for c in cells} == {"Organization/o2", None}
    by = {(c["recipient"][0].get("reference"), c["data"][0]): c for c in cells}
    assert by[None, "somatic-genomic"]["permit"] == [True]
    assert by[None, "germline-genomic"]["permit"] == [False]
    (why,) = by[None, "germline-genomic"]["reason"]
    assert why[0]["valueReference"] == {"reference": "Consent/c"}
    assert why[1]["valueString"] == "Consent.provision.provision[0]"
    assert by["Organization/o2", "clinical"]["permit"] == [False]
    ask = "Consent/$explain?patient=p&purpose=HRESCH&recipient=Organization/o1&resource="
    for id, permitted in (("d1", True), ("d2", False)):
        (cell,) = said(me("GET", ask + f"Observation/{id}"), "decision")
        assert cell["permit"] == [permitted]
        assert (house.researcher()("GET", f"Observation/{id}").status_code == 200) is permitted, "as the engine decides"
    for somebody, status in (
        (house.as_("patient/*.rs", user="Patient/q", patient="q"), 404),
        (house.researcher(), 403),
    ):
        assert somebody("GET", "Consent/$explain?patient=Patient/p").status_code == status
    assert me("GET", "Consent/$explain").status_code == 400
    assert me("GET", ask + "Observation/other").status_code == 404


def test_preview_changes_nothing(house: House) -> None:
    house.say(research(permit("HRESCH")))
    me = house.as_("patient/*.rs", **PARTICIPANT)
    wanted = research(permit("HRESCH", nested=[GERMLINE]), dateTime="2026-01-01")
    changes = said(me("POST", "Consent/$preview", wanted), "change")
    assert {(c["data"][0], c["before"][0], c["after"][0]) for c in changes if c["purpose"] == ["HRESCH"]} == {
        (name, True, False) for name in ("germline-genomic", "raw-sequence", "direct-to-consumer")
    }
    assert house.researcher()("GET", "Observation/d2").status_code == 200
    assert said(me("POST", "Consent/$preview", research(permit("HRESCH"))), "change") == []
    assert me("POST", "Consent/$preview", {**wanted, "patient": {"reference": "Patient/q"}}).status_code == 404


def test_choices_are_kept_in_one_consent(house: House) -> None:
    me = house.as_("patient/*.cruds", **PARTICIPANT)
    assert me("GET", "Patient/p/$choices").json() == {"resourceType": "Parameters"}
    page = parameters(use=[{"data": ["clinical", "somatic-genomic"], "purpose": "HRESCH", "until": "2090-01-01"}],
                      contact=["contact-trial-physician"], without=["ResearchStudy/s2"])  # fmt: skip
    answer = me("POST", "Patient/p/$choose", page)
    assert said(answer, "use") == [
        {"data": ["clinical", "somatic-genomic"], "purpose": ["HRESCH"], "until": ["2090-01-01"]}
    ]
    assert me("GET", "Patient/p/$choices").json() == answer.json()
    researcher = house.researcher(study="s1")
    assert researcher.sees("Observation") == {"d1"}
    assert researcher.sees("Condition") == {"d3"}
    assert researcher.sees("Specimen") == set()
    assert house.researcher(study="s2").sees("Observation") == set()
    assert said(me("POST", "Patient/p/$choose", parameters(pause=True)), "paused") == [{"": [True]}]
    assert researcher.sees("Observation") == set()
    assert said(me("GET", "Patient/p/$choices"), "use"), "kept while it is paused"
    me("POST", "Patient/p/$choose", parameters(pause=False))
    assert researcher.sees("Observation") == {"d1"}
    house.say(research(permit("HRESCH"), "paper", policy="https://example.org/paper"))
    assert said(me("POST", "Patient/p/$choose", parameters(revoke=True)), "use") == []
    assert researcher.sees("Patient") == set(), "a denial, over what was signed on paper too"
    assert len(me("GET", "Consent?patient=p&_id:not=paper").json()["entry"]) == 1
    (mine,) = (e["resource"] for e in me("GET", "Consent?_id:not=paper").json()["entry"])
    assert mine["performer"] == [{"reference": "Patient/p"}]


@pytest.mark.parametrize(
    ("given", "said_"),
    [
        (parameters(use=[{"data": "everything", "purpose": "HRESCH"}]), "class of data"),
        (parameters(use=[{"purpose": "TREAT"}]), "purpose"),
        (parameters(contact=["by-night"]), "contacted"),
        (parameters(use=[{"purpose": "HRESCH", "until": "soon"}]), "not a date"),
        (parameters(use=[{"purpose": "HRESCH", "colour": "red"}]), "no part"),
        (parameters(revoke=True, pause=True), "revoke"),
    ],
)
def test_a_page_that_cannot_be_meant(house: House, given: Resource, said_: str) -> None:
    me = house.as_("patient/*.cruds", **PARTICIPANT)
    answer = me("POST", "Patient/p/$choose", given)
    assert answer.status_code == 400
    assert said_ in answer.json()["issue"][0]["diagnostics"]
    assert me("GET", "Consent").json().get("entry", []) == []


def test_choices_are_the_patients_own(house: House) -> None:
    page = parameters(use=[{"purpose": "HRESCH"}])
    other = house.as_("patient/*.cruds", user="Patient/q", patient="q")
    assert other("POST", "Patient/p/$choose", page).status_code == 404
    reader = house.as_("patient/*.rs", **PARTICIPANT)
    assert reader("POST", "Patient/p/$choose", page).status_code == 403
    assert reader("GET", "Patient/p/$choose?revoke=true").status_code == 405
    assert house.researcher()("GET", "Patient/p/$choices").status_code == 404


def test_accesses_tell_who_looked_and_which_consent_let_them(house: House) -> None:
    house.say(research(permit("HRESCH")))
    researcher, me = house.researcher("HRESCH"), house.as_("patient/*.rs", **PARTICIPANT)
    assert researcher("GET", "Observation/d1").status_code == 200
    assert me("GET", "Observation/d1").status_code == 200
    house.say({**research(permit("HRESCH")), "status": "inactive"})
    house.run(house.app.endpoint.journal.close())
    house.run(fold(house.server))
    rows = said(me("GET", "Patient/p/$accesses"), "access")
    (seen,) = [one for one in rows if one.get("role") == ["researcher"]]
    assert seen["client"] == ["app"]
    assert seen["purpose"] == ["HRESCH"]
    assert seen["resource"] == [{"reference": "Observation/d1"}]
    assert seen["consent"] == [{"reference": "Consent/c/_history/1"}]
    assert not [one for one in rows if one.get("user") == [{"reference": "Patient/p"}]]
    rows = said(me("GET", "Patient/p/$accesses?own=true"), "access")
    assert [one for one in rows if one.get("user") == [{"reference": "Patient/p"}]]
    assert house.as_("patient/*.rs", user="Patient/q", patient="q")("GET", "Patient/p/$accesses").status_code == 404
    assert researcher("GET", "Patient/p/$accesses").status_code == 403
