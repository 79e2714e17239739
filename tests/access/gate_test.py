"""A genomic report is the participant's once their physician saw it, time passed, or they chose so. docs/genomics.md"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from fhir_server.access.renewal import renew_due
from fhir_server.fhir.dates import DAY
from tests.access.rights_test import Desk, Somebody
from tests.auth.door import smart

Resource = dict[str, Any]
SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
LOINC, P = "http://loinc.org", {"reference": "Patient/p"}
KIND = "https://participation.example/fhir/CodeSystem/task-kind|review-report"
VARIANT = {"coding": [{"system": LOINC, "code": "69548-6"}]}
GENETICS = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "GE"}]}]
WORLD: list[Resource] = [
    {"resourceType": "Patient", "id": "p", "generalPractitioner": [{"reference": "Practitioner/gp"}]},
    {"resourceType": "Patient", "id": "q"},
    {"resourceType": "RelatedPerson", "id": "mother", "patient": P},
    {"resourceType": "Practitioner", "id": "gp"},
    {"resourceType": "Practitioner", "id": "oncologist"},
    {"resourceType": "ServiceRequest", "id": "order", "status": "active", "intent": "order", "subject": P,
     "requester": {"reference": "Practitioner/oncologist"}},
    {"resourceType": "Observation", "id": "old", "status": "final", "code": {"text": "weight"}, "subject": P},
]  # fmt: skip


def observation(id: str, **more: Any) -> Resource:
    return {"resourceType": "Observation", "id": id, "status": "final", "code": VARIANT, "category": GENETICS,
            "subject": P, **more}  # fmt: skip


def report(id: str = "r", **more: Any) -> Resource:
    return {"resourceType": "DiagnosticReport", "id": id, "status": "final", "subject": P,
            "code": {"coding": [{"system": LOINC, "code": "51969-4"}]},
            "basedOn": [{"reference": "ServiceRequest/order"}],
            "result": [{"reference": "Observation/v1"}, {"reference": "Observation/panel"}],
            "conclusion": "BRAF V600E", **more}  # fmt: skip


RESULTS = [
    observation("v1"),
    observation("v2"),
    observation("panel", hasMember=[{"reference": "Observation/v2"}]),
    observation("implied", derivedFrom=[{"reference": "Observation/v1"}]),
]
LOST = [{"reference": "ServiceRequest/lost"}]
HIDDEN = {"r", "v1", "v2", "panel", "implied"}


class Ward(Desk):
    """The server with its cast, and a clock that can be moved."""

    def put(self, *resources: Resource) -> None:
        """Write in one transaction, as the laboratory does."""
        entries = [{"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
                   for one in resources]  # fmt: skip
        answer = self.lab("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
        assert answer.status_code == 200, answer.text

    @property
    def lab(self) -> Somebody:
        return self.as_("system/*.cruds", role="laboratory")

    @property
    def participant(self) -> Somebody:
        return self.as_("patient/*.cruds", user="Patient/p", patient="p")

    @property
    def clinician(self) -> Somebody:
        return self.as_("user/*.cruds", user="Practitioner/gp")

    def reviews(self) -> list[Resource]:
        found = self.lab("GET", f"Task?code={KIND}&_sort=_lastUpdated").json()
        return [entry["resource"] for entry in found.get("entry", ())]

    def review(self, status: str = "completed") -> None:
        """The physician sets the open review to a status."""
        (task,) = [one for one in self.reviews() if one["status"] == "requested"]
        assert self.clinician("PUT", f"Task/{task['id']}", {**task, "status": status}).status_code == 200

    def pass_days(self, days: float) -> None:
        """Let time pass, then let what is due be done."""

        def later() -> int:
            return before() + round(days * DAY)

        before = self.server.clock
        consents = replace(self.server.consents, clock=later)
        self.app.endpoint.server = replace(self.server, clock=later, consents=consents)
        self.run(renew_due(self.server))


@pytest.fixture
def ward(store_url: str) -> Iterator[Ward]:
    opened = Ward(smart(store_url, audit=False, match=False))
    opened.register(id="app", redirects=("https://app.example/",))
    opened.put(*WORLD)
    yield opened
    opened.close()


def nothing_betrays(asking: Somebody, hidden: set[str]) -> None:
    """Whatever is asked, the answers are those of a server that holds nothing of it."""
    everything = {"p", "old", "order", "gp", "oncologist"}
    assert asking.sees("Observation") == {"old"}
    assert asking("GET", "Observation?_summary=count").json()["total"] == 1
    assert asking("GET", "Observation?_total=accurate&_count=1").json()["total"] == 1
    assert asking("GET", "DiagnosticReport?_summary=count").json()["total"] == 0
    assert asking("GET", "Task?_summary=count").json()["total"] == 0
    assert asking.sees("Patient/p/$everything") - {"mother"} == everything
    assert asking.sees("Patient?_revinclude=Observation:subject&_revinclude=DiagnosticReport:subject") == {"p", "old"}
    assert asking.sees("ServiceRequest?_revinclude=DiagnosticReport:based-on") == {"order"}
    assert asking.sees("Patient?_has:DiagnosticReport:subject:status=final") == set()
    assert asking.sees("Patient?_has:Observation:patient:_id=v1") == set()
    assert asking.sees("DiagnosticReport?result.code=69548-6") == set()
    assert asking.sees("Observation/$lastn?patient=Patient/p&code=69548-6") == set()
    assert not {entry["resource"].get("id") for entry in asking("GET", "_history").json()["entry"]} & hidden
    for id in hidden:
        type = "DiagnosticReport" if id == "r" else "Observation"
        for path in (f"{type}/{id}", f"{type}/{id}/_history", f"{type}/{id}/_history/1"):
            absent = asking("GET", path.replace(f"/{id}", "/none"))
            answer = asking("GET", path)
            assert answer.status_code == 404, path
            assert re.sub(rf"\b{id}\b", "none", answer.text) == absent.text, "hidden and absent are answered alike"
        body = report(id, subject=P) if type == "DiagnosticReport" else observation(id)
        refused, absent = asking("PUT", f"{type}/{id}", body), asking("PUT", f"{type}/none", {**body, "id": "none"})
        assert (refused.status_code, re.sub(rf"\b{id}\b", "none", refused.text)) == (absent.status_code, absent.text)


def test_a_report_waits_for_the_physician(ward: Ward) -> None:
    ward.put(report(), *RESULTS)
    (task,) = ward.reviews()
    assert task["status"] == "requested"
    assert task["focus"] == {"reference": "DiagnosticReport/r"}
    assert task["for"] == P
    assert task["owner"] == {"reference": "Practitioner/oncologist"}
    assert task["basedOn"] == [{"reference": "ServiceRequest/order"}]
    mother = ward.as_("user/*.rs", user="RelatedPerson/mother")
    for asking in (ward.participant, mother):
        nothing_betrays(asking, HIDDEN)
    assert ward.participant("PUT", f"Task/{task['id']}", {**task, "status": "completed"}).status_code == 403
    answers = [ward.participant("DELETE", f"Observation/{id}") for id in ("v1", "none")]
    assert answers[0].status_code == answers[1].status_code
    assert ward.clinician.sees("Observation?patient=p") == ward.lab.sees("Observation") == HIDDEN - {"r"} | {"old"}
    assert ward.clinician.sees("DiagnosticReport?patient=p") == {"r"}
    ward.review()
    assert ward.participant.sees("Observation") == mother.sees("Observation") == HIDDEN - {"r"} | {"old"}
    assert ward.participant("GET", "DiagnosticReport/r/_history/1").status_code == 200
    assert ward.participant.sees("Task") == {task["id"]}
    assert ward.participant("GET", "Observation?_summary=count").json()["total"] == 5


def test_the_waiting_time_opens_it(ward: Ward) -> None:
    ward.put(report(), *RESULTS)
    ward.pass_days(13.9)
    assert ward.participant.sees("Observation") == {"old"}
    ward.pass_days(0.2)
    assert ward.participant.sees("Observation") == HIDDEN - {"r"} | {"old"}
    assert ward.participant("GET", "DiagnosticReport/r").status_code == 200
    ward.put(observation("late", hasMember=[{"reference": "Observation/v1"}]))
    assert "late" in ward.participant.sees("Observation")


def test_days_of_the_setting(store_url: str) -> None:
    with_none = Ward(smart(store_url, audit=False, match=False, release_days=0))
    with_none.register(id="app", redirects=("https://app.example/",))
    with_none.put(*WORLD, report(status="preliminary"), *RESULTS)
    assert with_none.participant.sees("DiagnosticReport") == {"r"}
    with_none.put(report())
    (task,) = with_none.reviews()
    assert "restriction" not in task, "the physician is told all the same"
    assert with_none.participant.sees("Observation") == HIDDEN - {"r"} | {"old"}
    with_none.close()


def choose(ward: Ward, *contact: str) -> None:
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "contact", "valueCode": c} for c in contact]}
    answer = ward.participant("POST", "Patient/p/$choose", parameters)
    assert answer.status_code == 200, answer.text


def test_whoever_chose_it_sees_results_at_once(ward: Ward) -> None:
    choose(ward, "contact-results")
    ward.put(report(), *RESULTS)
    assert ward.participant.sees("Observation") == HIDDEN - {"r"} | {"old"}
    assert len(ward.reviews()) == 1, "the physician is asked all the same"


def test_the_choice_may_come_later_and_be_taken_back(ward: Ward) -> None:
    choose(ward, "contact-trial-direct")
    ward.put(report(), *RESULTS)
    assert ward.participant.sees("Observation") == {"old"}
    choose(ward, "contact-results")
    assert ward.participant.sees("Observation") == HIDDEN - {"r"} | {"old"}
    choose(ward)
    assert ward.participant.sees("Observation") == {"old"}


def test_a_permit_of_everything_does_not_choose_that(ward: Ward) -> None:
    consent = {"resourceType": "Consent", "id": "c", "status": "active", "patient": P, "dateTime": "2026-01-01",
               "scope": {"coding": [{"system": SCOPE, "code": "research"}]},
               "category": [{"coding": [{"system": LOINC, "code": "59284-0"}]}], "performer": [P],
               "policy": [{"uri": "https://example.org/broad"}], "provision": {"type": "permit"}}  # fmt: skip
    ward.put(report(), *RESULTS, consent)
    assert ward.participant.sees("Observation") == {"old"}
    assert ward.participant.sees("Consent") == {"c"}


def test_a_corrected_report_is_reviewed_again(ward: Ward) -> None:
    ward.put(report(), *RESULTS)
    ward.put(report())
    assert len(ward.reviews()) == 1, "sent twice, asked about once"
    ward.put(report(conclusion="BRAF V600E, KRAS wild type", status="corrected"))
    assert [one["status"] for one in ward.reviews()].count("requested") == 1
    assert sorted(one["status"] for one in ward.reviews()) == ["cancelled", "requested"]
    ward.review()
    assert ward.participant.sees("DiagnosticReport") == {"r"}
    ward.put(report(status="amended", conclusion="Pathogenic germline variant"))
    nothing_betrays_now = ward.participant
    assert nothing_betrays_now.sees("DiagnosticReport") == set()
    assert nothing_betrays_now("GET", "DiagnosticReport/r/_history/1").status_code == 404
    ward.put(report(status="entered-in-error"))
    assert ward.participant.sees("DiagnosticReport") == set()
    ward.review()
    assert ward.participant.sees("DiagnosticReport") == {"r"}


def test_meta_alone_is_no_correction(ward: Ward) -> None:
    ward.put(report(), *RESULTS)
    ward.review()
    tag = {"resourceType": "Parameters",
           "parameter": [{"name": "meta", "valueMeta": {"tag": [{"system": "urn:x", "code": "y"}]}}]}  # fmt: skip
    assert ward.lab("POST", "DiagnosticReport/r/$meta-add", tag).status_code == 200
    assert ward.participant.sees("DiagnosticReport") == {"r"}
    assert len(ward.reviews()) == 1


@pytest.mark.parametrize("first", ["report", "results"])
def test_what_is_reported_may_come_in_another_bundle(ward: Ward, first: str) -> None:
    for some in [[report()], RESULTS] if first == "report" else [RESULTS, [report()]]:
        ward.put(*some)
    ward.put(observation("v3"))
    ward.put(observation("panel", hasMember=[{"reference": "Observation/v3"}, {"reference": "Observation/v2"}]))
    nothing_betrays(ward.participant, HIDDEN | {"v3"})
    ward.review()
    assert ward.participant.sees("Observation") == HIDDEN - {"r"} | {"old", "v3"}


def test_what_is_not_finished_is_not_shown_and_not_asked_about(ward: Ward) -> None:
    choose(ward, "contact-results")
    ward.put(report(status="preliminary"), *RESULTS)
    assert ward.reviews() == []
    assert ward.participant.sees("Observation") == {"old"}
    ward.put(report())
    assert ward.participant.sees("DiagnosticReport") == {"r"}


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled", "unknown"])
def test_withdrawn_before_it_was_final_it_is_reviewed_all_the_same(ward: Ward, status: str) -> None:
    ward.put(report(status="preliminary"), *RESULTS)
    ward.put(report(status=status), *RESULTS)
    nothing_betrays(ward.participant, HIDDEN)
    ward.review()
    assert HIDDEN - {"r"} <= ward.participant.sees("Observation")


def test_an_app_of_a_patient_without_a_user_waits_too(ward: Ward) -> None:
    ward.put(report(), *RESULTS)
    app = ward.as_("patient/*.rs", patient="p")
    assert not HIDDEN & (app.sees("Observation") | app.sees("DiagnosticReport")), "an issuer need not name the user"


def test_a_report_of_something_else_is_shown_at_once(ward: Ward) -> None:
    ward.put(report(code={"coding": [{"system": LOINC, "code": "58410-2"}]}, result=[{"reference": "Observation/old"}]))
    assert ward.reviews() == []
    assert ward.participant.sees("DiagnosticReport") == {"r"}


def test_who_is_asked(ward: Ward) -> None:
    ward.put(report("a", resultsInterpreter=[{"reference": "Practitioner/x"}]))
    ward.put(report("b", basedOn=LOST, resultsInterpreter=[{"reference": "PractitionerRole/reader"}]))
    ward.put(report("c", basedOn=LOST))
    ward.put(report("d", basedOn=LOST, subject={"reference": "Patient/q"}))
    asked = {one["focus"]["reference"][-1]: one.get("owner", {}).get("reference") for one in ward.reviews()}
    assert asked == {"a": "Practitioner/oncologist", "b": "PractitionerRole/reader", "c": "Practitioner/gp", "d": None}


def test_a_review_is_not_deleted_and_an_ended_one_opens_nothing(ward: Ward) -> None:
    ward.put(report(), *RESULTS)
    (task,) = ward.reviews()
    assert ward.lab("DELETE", f"Task/{task['id']}").status_code == 409
    ward.review("rejected")
    assert ward.participant.sees("Observation") == {"old"}
    assert ward.lab("DELETE", "DiagnosticReport/r").status_code in (200, 204)
    ward.put(observation("v1", note=[{"text": "again"}]))
    assert ward.participant.sees("Observation") == {"old"}, "what a deleted report named stays hidden"
    ward.pass_days(15)
    assert ward.participant.sees("Observation") == HIDDEN - {"r"} | {"old"}


@pytest.mark.parametrize("reviewed", [None, "requested", "completed"])
def test_what_a_preliminary_report_named_waits_on_when_it_is_deleted(ward: Ward, reviewed: str | None) -> None:
    if reviewed is not None:  # an earlier content
        ward.put(report(), *RESULTS)
        ward.review(reviewed)
    ward.put(report(status="preliminary"), *RESULTS)
    assert ward.lab("DELETE", "DiagnosticReport/r").status_code in (200, 204)
    choose(ward, "contact-results")
    ward.put(observation("v1", note=[{"text": "again"}]))
    assert ward.participant.sees("Observation") == {"old"}
    ward.pass_days(13)
    assert ward.participant.sees("Observation") == {"old"}
    ward.pass_days(2)
    assert ward.participant.sees("Observation") == HIDDEN - {"r"} | {"old"}


def test_nobody_makes_a_review_by_hand(ward: Ward) -> None:
    ward.put(report(), *RESULTS)
    (task,) = ward.reviews()
    made = {**task, "status": "completed"}
    del made["id"]
    assert ward.participant("POST", "Task", made).status_code in (201, 403)
    assert ward.participant("PUT", "Task/review-mine", {**made, "id": "review-mine"}).status_code == 403
    assert ward.participant.sees("Observation") == {"old"}


def test_other_people_are_not_concerned(ward: Ward) -> None:
    ward.put(report(), *RESULTS, observation("other", subject={"reference": "Patient/q"}))
    assert ward.as_("patient/*.rs", user="Patient/q", patient="q").sees("Observation") == {"other"}
