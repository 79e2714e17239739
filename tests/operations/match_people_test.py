"""The match operations on people with several Patients, and on those who permit one study. docs/operations/match.md"""

from typing import Any

from fhir_server.settings import Settings
from tests.client import BASE, Client
from tests.matching import world as w
from tests.matching.people_test import ADULTS, about_study, linked
from tests.operations.match_trials_test import STUDY, asked, by_mode, desk, fill, matches, matches_of, person

__all__ = ["desk"]
HALF = [one for one in person("a-half", consents=False) if one["id"] != "a-half-dx"]


def evidence(bundle: dict[str, Any]) -> set[str]:
    """What every criterion of an answer rests on, by id."""
    found = set()
    for one in by_mode(bundle, "include"):
        for criterion in one["resource"].get("contained", [{}])[0].get("parameter", ()):
            parts = criterion.get("part", ())
            found |= {part["valueReference"]["reference"].split("/")[1] for part in parts if part["name"] == "evidence"}
    return found


def test_joined_patients_are_one_person_in_every_answer(store_url: str) -> None:
    client = Client(Settings(store=store_url, base_url=BASE, auth="open", access_log=False, match=False))
    record = [one for one in person("z", "var", "region") if one["resourceType"] != "Patient"]
    patient, *half = HALF
    fill(client, *w.worked_example(), w.patient("z"), *record, patient, *half)
    assert matches(asked(client, f"ResearchStudy/{STUDY}/$match-patients?status=match")) == []
    fill(client, {**patient, **linked("z")})
    for id in ("z", "a-half"):
        bundle = asked(client, f"Patient/{id}/$match-trials")
        assert matches(bundle) == [(STUDY, "certain", 1)]
        assert by_mode(bundle, "include")[0]["resource"]["subject"]["reference"] == f"Patient/{id}"
        assert {"z-dx", "a-half-var"} <= evidence(bundle)
    bundle = asked(client, f"ResearchStudy/{STUDY}/$match-patients?status=all")
    assert (matches(bundle), bundle["total"]) == ([("a-half", "certain", 1)], 1)
    client.close()


def test_a_token_for_one_patient_does_not_open_the_record_of_another(desk: Any) -> None:
    patient, *half = HALF
    operator = desk.as_("system/*.cruds", role="operator")
    fill(operator, {**patient, **linked("maybe")}, *half, w.ecog("h", 1, of="a-half"))
    app = desk.as_("patient/*.rs", patient="maybe", user="Patient/maybe")
    assert matches_of(app, "Patient/maybe/$match-trials") == [(STUDY, "possible", 0.857)]
    cited = evidence(app("GET", "Patient/maybe/$match-trials").json())
    assert not any(id.startswith(("a-half-", "h")) for id in cited)
    assert matches_of(operator, "Patient/maybe/$match-trials") == [(STUDY, "certain", 1)]
    fill(operator, w.consent("no", of="a-half", provision={"type": "deny"}, policy="https://example.org/2"))
    assert matches_of(app, "Patient/maybe/$match-trials?status=all") == []


def test_a_permit_for_one_study_leaves_no_trace_at_others(store_url: str) -> None:
    client = Client(Settings(store=store_url, base_url=BASE, auth="open", access_log=False, match=False))
    only = {"type": "permit", "purpose": [w.purpose("CLINTRCH")], **about_study("extension", "adults")}
    fill(client, *w.worked_example(), w.study("adults"), ADULTS, *person("p", consents=False))
    fill(client, w.consent("yes", provision=only))
    assert matches(asked(client, "Patient/p/$match-trials?status=all")) == [("adults", "certain", 1)]
    assert matches(asked(client, "ResearchStudy/adults/$match-patients")) == [("p", "certain", 1)]
    bundle = asked(client, f"ResearchStudy/{STUDY}/$match-patients?status=all")
    assert bundle["total"] == 0
    assert "entry" not in bundle
    parts = client("GET", f"ResearchStudy/{STUDY}/$attrition").json()["parameter"]
    assert parts == [{"name": "overall", "part": [{"name": "suppressed", "valueString": "fewer than 11 people"}]}]
    client.close()
