"""What a held report would be betrayed by: trial candidates, their reasons, the log of who looked. docs/genomics.md"""

from collections.abc import Iterator
from typing import Any

import pytest

from fhir_server.access.judging import POLICY
from fhir_server.access.policy import Ruled
from fhir_server.audit import fold
from fhir_server.matching.candidates import pair_id
from fhir_server.matching.match import match
from fhir_server.server import Server
from fhir_server.store.seam import Tx
from tests.access.gate_test import P, Ward, observation, report
from tests.auth.door import smart
from tests.matching import world as w

STUDY = "egfr-nsclc-01"


@pytest.fixture
def ward(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    """Somebody who fits a trial, but for a variant that no report has told of yet."""

    async def another_has_it(server: Server, process: str) -> bool:
        return False

    monkeypatch.setattr(fold, "_hold", another_has_it)  # events are folded when the test says so
    opened = Ward(smart(store_url, match=False))
    opened.register(id="app", redirects=("https://app.example/",))
    record = [one for one in w.fitting_record("p") if one["id"] != "p-var"]
    team = {"resourceType": "CareTeam", "id": "t", "status": "active", "subject": P,
            "participant": [{"member": {"reference": "Practitioner/gp"}}]}  # fmt: skip
    opened.put(*w.worked_example(), w.patient("p"), w.consent("yes"), team, *record)
    yield opened
    opened.close()


def variant(ward: Ward) -> None:
    """The laboratory reports the variant that decides."""
    (found,) = (one for one in w.fitting_record("p") if one["id"] == "p-var")
    told = report("r", basedOn=[{"reference": "ServiceRequest/x"}], result=[{"reference": "Observation/p-var"}])
    ward.put(found, told)


def ask(ward: Ward, who: Any) -> dict[str, str]:
    """How each trial stands for the patient, as somebody is told."""
    entries = who("GET", "Patient/p/$match-trials").json().get("entry", ())
    return {one["resource"]["id"]: one["search"]["extension"][0]["valueCode"]
            for one in entries if one["search"]["mode"] == "match"}  # fmt: skip


def test_no_trial_shows_what_a_held_report_says(ward: Ward) -> None:
    before = ask(ward, ward.participant)
    ward.run(match(ward.server))
    id = pair_id(STUDY, "p")
    variant(ward)
    assert ask(ward, ward.participant) == before
    assert ask(ward, ward.clinician) != before
    ward.run(match(ward.server))
    moved = ward.lab("GET", f"ResearchSubject/{id}").json()
    assert moved["status"] == "candidate"
    for type in ("ResearchSubject", "GuidanceResponse"):
        assert ward.clinician("GET", f"{type}/{id}").status_code == 200, type
        assert ward.participant("GET", f"{type}/{id}").status_code == 404, type
        assert id not in ward.participant.sees(f"{type}?_count=100")
    ward.review()
    assert ask(ward, ward.participant) == ask(ward, ward.clinician)
    for type in ("ResearchSubject", "GuidanceResponse"):
        assert ward.participant("GET", f"{type}/{id}").status_code == 200, type


def test_new_candidates_join_what_is_held(ward: Ward) -> None:
    """As if all of the person had been looked at."""
    variant(ward)
    ward.run(match(ward.server))
    id, key = pair_id(STUDY, "p"), f"{POLICY}p"
    assert ward.lab("GET", f"ResearchSubject/{id}").json()["status"] == "candidate"
    for type in ("ResearchSubject", "GuidanceResponse", "Provenance"):
        assert ward.lab("GET", f"{type}/{id}").status_code == 200, type
        assert ward.participant("GET", f"{type}/{id}").status_code == 404, type
    joined = ward.run(ward.server.store.get_state(key))
    assert joined is not None
    assert b"ResearchSubject/" + id.encode() in joined[0]

    async def look(tx: Tx) -> None:
        await Ruled(tx, ward.server.consents).renew("p")

    ward.run(ward.server.store.transact(look))
    assert ward.run(ward.server.store.get_state(key)) == joined
    ward.review()
    assert ward.participant("GET", f"ResearchSubject/{id}").status_code == 200


def test_the_rest_of_a_pair_that_was_there_before_is_held_with_its_conclusion(ward: Ward) -> None:
    pair = {"id": pair_id("young", "p"), "status": "candidate"}
    study = {"reference": "ResearchStudy/egfr-nsclc-01"}
    ward.put({**pair, "resourceType": "ResearchSubject", "study": study, "individual": P})
    path = f"ResearchSubject/{pair['id']}"
    assert ward.participant("GET", path).status_code == 200
    variant(ward)
    evidence = [{"reference": "Observation/p-var"}]
    ward.put({"id": pair["id"], "resourceType": "GuidanceResponse", "moduleUri": "urn:m", "status": "success",
              "subject": P, "reasonReference": evidence})  # fmt: skip
    assert ward.clinician("GET", path).status_code == 200
    assert ward.participant("GET", path).status_code == 404
    ward.review()
    assert ward.participant("GET", path).status_code == 200


def test_who_looked_at_it_is_told_once_it_is_released(ward: Ward) -> None:
    ward.put(report(), observation("v1"))
    assert ward.lab("GET", "DiagnosticReport/r").status_code == 200
    assert ward.lab("GET", "Observation/p-ecog/_history").status_code == 200
    ward.run(fold.fold(ward.server))
    named = "AuditEvent?entity=DiagnosticReport/r&_summary=count"
    assert ward.lab("GET", named).json()["total"] > 0
    assert ward.participant("GET", named).json()["total"] == 0
    told = ward.participant("GET", "Patient/p/$accesses").text
    assert "DiagnosticReport/r" not in told
    assert "Observation/p-ecog" in told
    ward.review()
    assert ward.participant("GET", named).json()["total"] == ward.lab("GET", named).json()["total"]
    assert "DiagnosticReport/r" in ward.participant("GET", "Patient/p/$accesses").text
