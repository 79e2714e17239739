"""What a genomic report lists is genomic for consent, whatever it says itself, and in whichever order they come."""

from typing import Any

import pytest

from tests.access.consent_http_test import GERMLINE, House, house
from tests.access.statements_world import GE, Resource, permit, research

__all__ = ["house"]

PLAIN: Resource = {"resourceType": "Observation", "id": "plain", "status": "final", "code": {"text": "Gene result"},
                   "subject": {"reference": "Patient/p"}}  # fmt: skip
OTHER: Resource = {**PLAIN, "id": "sodium", "code": {"text": "Sodium"}}
WITHOUT_GERMLINE = research(permit("HRESCH", nested=[GERMLINE]))


def report(*results: str, genomic: bool = True) -> Resource:
    made: Resource = {"resourceType": "DiagnosticReport", "id": "rep", "status": "registered",
                      "code": {"text": "Report"}, "subject": {"reference": "Patient/p"}}  # fmt: skip
    made |= {"category": [GE]} if genomic else {}
    return made | ({"result": [{"reference": one} for one in results]} if results else {})


def put(house: House, *resources: Resource) -> None:
    entries: list[dict[str, Any]] = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in resources
    ]
    answer = house.registry("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("order", ["report first", "result first", "together", "consent last"])
def test_what_a_genomic_report_lists_is_genomic(house: House, order: str) -> None:
    lists = report("Observation/plain")
    if order != "consent last":
        house.say(WITHOUT_GERMLINE)
    if order == "report first":
        put(house, lists)
        put(house, PLAIN, OTHER)
    elif order == "result first":
        put(house, PLAIN, OTHER)
        assert "plain" in house.researcher().sees("Observation")
        put(house, lists)
    else:
        put(house, lists, PLAIN, OTHER)
    if order == "consent last":
        house.say(WITHOUT_GERMLINE)
    researcher = house.researcher()
    seen = researcher.sees("Observation")
    assert "sodium" in seen
    assert "plain" not in seen
    assert researcher("GET", "Observation/plain").status_code == 404
    assert researcher("GET", "Observation/plain/_history/1").status_code == 404


def test_it_is_judged_anew_when_the_report_says_another_thing(house: House) -> None:
    house.say(WITHOUT_GERMLINE)
    put(house, PLAIN, report("Observation/plain"))
    researcher = house.researcher()
    assert "plain" not in researcher.sees("Observation")
    put(house, report())
    assert "plain" in researcher.sees("Observation"), "not listed any more"
    put(house, report("https://elsewhere.example/fhir/Observation/plain"))
    put(house, report("Observation/plain"))
    assert "plain" not in researcher.sees("Observation")
    put(house, report("Observation/plain", genomic=False))
    assert "plain" in researcher.sees("Observation")
    put(house, report("Observation/plain"))
    assert house.registry("DELETE", "DiagnosticReport/rep").status_code == 204
    assert "plain" in researcher.sees("Observation"), "the report is gone"
