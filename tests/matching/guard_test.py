"""Criteria that cannot be judged are refused once a study names their Group, whichever of the two is written second."""

from typing import Any

import pytest

from tests.client import Client, client, refusal
from tests.matching import world as w

__all__ = ["client"]
ADULT = w.trait("adult", "30525-0", valueQuantity={"value": 18, "comparator": ">=", "code": "a"})
ODD = w.trait("odd", "30525-0", valueQuantity={"value": 18, "code": "parsec"})
UNKNOWN = [{"url": "https://example.org/only-on-sundays", "valueBoolean": True}]


def put(client: Client, resource: w.Resource) -> Any:
    return client("PUT", f"{resource['resourceType']}/{resource['id']}", resource)


@pytest.mark.parametrize(
    ("group", "path"),
    [
        (w.group("g", ADULT, ODD), "Group.characteristic[1]"),
        (w.group("g", w.within("in", "#c"), contained=[w.group("c", ADULT, ODD)]),
         "Group.contained[0].characteristic[1]"),
        (w.group("g", ADULT, {**ADULT, "id": "b", "period": {"start": "2020"}}), "Group.characteristic[1].period"),
        (w.group("g", ADULT, modifierExtension=UNKNOWN), "Group.modifierExtension"),
        (w.group("g", ADULT, {**ADULT, "id": "b", "modifierExtension": UNKNOWN}),
         "Group.characteristic[1].modifierExtension"),
        (w.group("g", ADULT, method="at-least"), "Group.modifierExtension"),
        (w.group("g", ADULT, type="animal"), "Group.type"),
    ],
)  # fmt: skip
def test_the_second_of_group_and_study_is_refused_with_the_path(client: Client, group: w.Resource, path: str) -> None:
    assert put(client, group).status_code == 201  # nobody enrolls by it yet
    answer = put(client, w.study("s", "g"))
    assert (answer.status_code, refusal(answer)["expression"]) == (422, [path])
    assert client("GET", "ResearchStudy/s").status_code == 404
    assert put(client, w.study("t", "h")).status_code == 201  # there is no Group h yet
    answer = put(client, {**group, "id": "h"})
    assert (answer.status_code, refusal(answer)["expression"]) == (422, [path])
    assert client("GET", "Group/h").status_code == 404


def test_a_group_within_a_group_is_checked_when_it_comes(client: Client) -> None:
    assert put(client, w.group("outer", ADULT, w.within("in", "Group/inner"))).status_code == 201
    assert put(client, w.study("s", "outer")).status_code == 201
    answer = put(client, w.group("inner", ADULT, ODD))
    assert (answer.status_code, refusal(answer)["expression"]) == (422, ["Group.characteristic[1]"])
    assert put(client, w.group("inner", ADULT)).status_code == 201
    assert put(client, w.group("inner", ODD)).status_code == 422
    assert put(client, w.group("elsewhere", ODD)).status_code == 201


def test_a_transaction_with_both_is_refused_as_a_whole(client: Client) -> None:
    entries = [{"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
               for one in (w.study("s", "g"), w.group("g", ODD), w.patient())]  # fmt: skip
    answer = client("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 422, answer.text
    assert client.versions() == 0


def test_criteria_in_words_are_stored_and_match_nobody(client: Client) -> None:
    words = {"id": "brave", "code": {"text": "Must be brave"}, "valueBoolean": True, "exclude": False}
    for one in (w.group("g", words), w.group("none", name="Anybody"), w.study("s", "g"), w.study("t", "none")):
        assert put(client, one).status_code == 201
    for one in (w.patient(), w.consent("yes")):
        put(client, one)
    assert client("GET", "Patient/p/$match-trials?status=all").json()["total"] == 0
    assert put(client, w.group("g", words, ADULT)).status_code == 200
    bundle = client("GET", "Patient/p/$match-trials").json()
    assert [one["resource"]["id"] for one in bundle["entry"] if one["search"]["mode"] == "match"] == ["s"]
    assert bundle["entry"][0]["search"]["score"] == 0.5
