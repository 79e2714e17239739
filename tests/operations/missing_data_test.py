"""$missing-data: which test of a patient would unlock how many trials. docs/operations/missing.md"""

from collections.abc import Iterator
from typing import Any

import pytest

from fhir_server.settings import Settings
from tests.client import BASE, Client, refusal
from tests.matching import world as w
from tests.matching.match_test import HRESCH
from tests.matching.people_test import about_study
from tests.operations.match_trials_test import fill, person

ECOG = w.trait("e", "89247-1", valueRange={"low": {"value": 0}, "high": {"value": 1}})
TMB = w.trait("t", "94076-7", valueQuantity={"value": 10, "comparator": ">=", **w.MEGABASE})
MSI = w.trait("m", "81695-9", valueCodeableConcept=w.concept((w.LOINC, "LA26203-2")))
LUNG = w.trait("d", "29308-4", valueCodeableConcept=w.concept((w.ONCOTREE, "LUNG")))
WORDS = {"id": "x", "code": {"text": "good will"}, "valueBoolean": True, "exclude": False}
TRIALS = {
    "one": [LUNG, ECOG],
    "two": [LUNG, ECOG],
    "three": [LUNG, TMB],
    "four": [LUNG, ECOG, TMB],
    "either": [LUNG, w.within("g", "#in")],
    "words": [LUNG, ECOG, WORDS],
    "breast": [w.trait("d", "29308-4", valueCodeableConcept=w.concept((w.ONCOTREE, "BREAST"))), ECOG],
}


@pytest.fixture
def client(tmp_path: Any) -> Iterator[Client]:
    opened = Client(
        Settings(store=f"sqlite:///{tmp_path / 'fhir.db'}", base_url=BASE, auth="open", access_log=False, match=False)
    )
    inner = w.group("in", TMB, MSI, method="any-of")
    for id, traits in TRIALS.items():
        more = {"contained": [inner]} if id == "either" else {}
        fill(opened, w.study(id, title=f"Trial {id}"), w.group(f"{id}-eligibility", *traits, **more))
    fill(opened, *person("p", "ecog", "tmb"))
    yield opened
    opened.close()


def ranked(client: Client, query: str = "") -> list[tuple[str, int, int, list[str]]]:
    answer = client("GET", f"Patient/p/$missing-data{query}")
    assert answer.status_code == 200, answer.text
    found = []
    for datum in answer.json().get("parameter", ()):
        values = {part["name"]: part for part in datum["part"]}
        trials = [one["part"] for one in datum["part"] if one["name"] == "trial"]
        found.append(
            (
                values["action"]["valueString"],
                values["unlocks"]["valueInteger"],
                values["helps"]["valueInteger"],
                [parts[0]["valueReference"]["reference"].split("/")[1] + "+" * (len(parts) - 1) for parts in trials],
            )
        )
    return found


def test_tests_are_ranked_by_the_trials_that_they_unlock(client: Client) -> None:
    tmb, msi = "Order or upload a tumour mutational burden", "Order or upload a microsatellite result"
    assert ranked(client) == [
        ("Record ECOG performance status", 2, 4, ["one", "two", "four+", "words+"]),
        (tmb, 2, 3, ["three", "either", "four+"]),
        (msi, 1, 1, ["either"]),
    ]
    assert [one[0] for one in ranked(client, "?_count=1")] == ["Record ECOG performance status"]
    (datum, *_) = client("GET", "Patient/p/$missing-data").json()["parameter"]
    need = next(part["valueDataRequirement"] for part in datum["part"] if part["name"] == "requirement")
    assert need == {
        "type": "Observation",
        "codeFilter": [{"path": "code", "code": [{"system": w.LOINC, "code": "89247-1"}]}],
    }
    fill(client, w.ecog("p-ecog", 1, of="p"))
    assert [(action, unlocks) for action, unlocks, _, _ in ranked(client)] == [(tmb, 3), (msi, 1)]
    fill(client, w.tmb("p-tmb", 12, of="p"))
    assert ranked(client) == []


def test_it_is_told_of_what_consent_permits_only(client: Client) -> None:
    fill(client, w.consent("p-yes", of="p", provision={**HRESCH, **about_study("extension", "three")}))
    assert [one[1:] for one in ranked(client)] == [(1, 1, ["three"])]
    fill(client, w.consent("p-yes", of="p", provision={"type": "deny"}))
    assert ranked(client) == []


def test_what_cannot_be_asked_is_refused(client: Client) -> None:
    for path, status in (("Patient/nobody/$missing-data", 404), ("Patient/p/$missing-data?date=soon", 400)):
        answer = client("GET", path)
        assert answer.status_code == status
        refusal(answer)
