"""Who may do what, over HTTP with tokens: scopes, compartments and roles. https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html"""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from fhir_server.auth.bearer import bearer
from fhir_server.auth.records import Authorization
from fhir_server.auth.tokens import authorize, issue
from tests.auth.door import Door, smart
from tests.client import refusal

CODE = {"coding": [{"system": "http://loinc.org", "code": "1"}]}
LAB = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}]


def patient(id: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id, "name": [{"family": id.title()}], **more}


def observation(id: str, of: str, **more: Any) -> dict[str, Any]:
    subject = {"reference": f"Patient/{of}"}
    return {"resourceType": "Observation", "id": id, "status": "final", "code": CODE, "subject": subject, **more}


WORLD = [
    patient("eve", generalPractitioner=[{"reference": "Practitioner/gp"}]),
    patient("ada"),
    patient("bob"),
    observation("e1", "eve", category=LAB),
    observation("e2", "eve"),
    observation("a1", "ada", category=LAB),
    observation("b1", "bob"),
    {"resourceType": "Practitioner", "id": "gp"},
    {"resourceType": "Practitioner", "id": "nurse"},
    {"resourceType": "CareTeam", "id": "t", "status": "active", "subject": {"reference": "Patient/ada"},
     "participant": [{"member": {"reference": "Practitioner/nurse"}}]},
    {"resourceType": "CareTeam", "id": "past", "status": "inactive", "subject": {"reference": "Patient/bob"},
     "participant": [{"member": {"reference": "Practitioner/nurse"}}]},
    {"resourceType": "Encounter", "id": "open", "status": "in-progress", "class": {"code": "AMB"},
     "subject": {"reference": "Patient/eve"}, "participant": [{"individual": {"reference": "Practitioner/nurse"}}]},
    {"resourceType": "RelatedPerson", "id": "mother", "patient": {"reference": "Patient/ada"}},
    {"resourceType": "RelatedPerson", "id": "former", "active": False, "patient": {"reference": "Patient/ada"}},
    {"resourceType": "ResearchStudy", "id": "s1", "status": "active"},
    {"resourceType": "ResearchStudy", "id": "s2", "status": "active"},
    {"resourceType": "ResearchSubject", "id": "r1", "status": "candidate", "study": {"reference": "ResearchStudy/s1"},
     "individual": {"reference": "Patient/eve"}},
    {"resourceType": "ResearchSubject", "id": "r2", "status": "candidate", "study": {"reference": "ResearchStudy/s2"},
     "individual": {"reference": "Patient/ada"}},
    {"resourceType": "ResearchSubject", "id": "r3", "status": "withdrawn", "study": {"reference": "ResearchStudy/s1"},
     "individual": {"reference": "Patient/bob"}},
    {"resourceType": "Group", "id": "cohort", "type": "person", "actual": True,
     "member": [{"entity": {"reference": "Patient/eve"}}, {"entity": {"reference": "Patient/bob"}}]},
    {"resourceType": "Device", "id": "sequencer"},
    {"resourceType": "Device", "id": "implant", "patient": {"reference": "Patient/bob"}},
]  # fmt: skip


class Desk(Door):
    """The authorization server, and its FHIR API asked as somebody."""

    def as_(self, scopes: str, **who: str) -> "Somebody":
        """Requests with a token of these scopes; `who` are members of an Authorization."""
        made = Authorization(client="app", scopes=tuple(scopes.split()), **who)

        async def token() -> str:
            return await issue(self.server, await authorize(self.server, made), made, made.scopes, 300)

        return Somebody(self, self.run(token()))


class Somebody:
    """A client with an access token."""

    def __init__(self, desk: Desk, token: str) -> None:
        self.desk, self.header = desk, {"authorization": f"Bearer {token}"}

    def __call__(self, method: str, path: str, json: Any = None, headers: Any = None, **more: Any) -> httpx2.Response:
        return self.desk(method, path, json, headers={**self.header, **(headers or {})}, **more)

    def sees(self, path: str) -> set[str]:
        """The ids that a search names, its includes among them."""
        answer = self("GET", path)
        assert answer.status_code == 200, answer.text
        return {entry["resource"]["id"] for entry in answer.json().get("entry", ())}


@pytest.fixture
def desk(store_url: str) -> Iterator[Desk]:
    """A server with auth smart over WORLD, which an operator wrote."""
    opened = Desk(smart(store_url))
    opened.register(id="app", redirects=("https://app.example/",))
    entries = [{"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
               for one in WORLD]  # fmt: skip
    operator = opened.as_("system/*.cruds", role="operator")
    answer = operator("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text
    yield opened
    opened.close()


def test_without_a_sound_token_only_the_capabilities_are_told(desk: Desk) -> None:
    assert desk("GET", "metadata").status_code == 200
    for path in ("Patient", "Patient/eve", "", "_history", "Patient?access_token=x", "_async/1"):
        answer = desk("GET", path)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert refusal(answer)["code"] == "login"
    for header in ("Bearer x", "Bearer ", "Basic eDp5", "bearer\ty", "Bearer " + "x" * 9000):
        answer = desk("GET", "Patient/eve", headers={"authorization": header})
        assert answer.status_code == 401, header
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def test_a_patients_app_sees_the_patient_and_what_belongs_to_nobody(desk: Desk) -> None:
    app = desk.as_("patient/*.rs", patient="eve", user="Patient/eve")
    assert app.sees("Patient") == {"eve"}
    assert app.sees("Observation") == {"e1", "e2"}
    assert app.sees("Practitioner") == {"gp", "nurse"}
    assert app.sees("Device") == {"sequencer"}
    assert app.sees("Group") == set(), "its members are other people"
    assert app.sees("ResearchSubject?_include=ResearchSubject:study") == {"r1", "s1"}
    assert app("GET", "Observation/a1").status_code == 404
    assert app("GET", "Patient?_summary=count").json()["total"] == 1
    assert app("GET", "Patient/ada/$everything").status_code == 404


def test_granular_scopes_are_a_union_and_hold_everywhere(desk: Desk) -> None:
    lab = "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
    app = desk.as_(f"patient/Patient.rs {lab}", patient="eve")
    assert app.sees("Observation") == {"e1"}
    assert app("GET", "Observation/e2").status_code == app("GET", "Observation/none").status_code == 404
    assert app("GET", "Observation/e2/_history/1").status_code == 404
    assert app.sees("Patient?_revinclude=Observation:subject") == {"eve", "e1"}
    assert app.sees("Patient?_has:Observation:subject:_id=e2") == set()
    wide = desk.as_(f"{lab} patient/Observation.rs", patient="eve")
    assert wide.sees("Observation") == {"e1", "e2"}


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("Practitioner/gp", {"eve"}),
        ("Practitioner/nurse", {"ada", "eve"}),  # of an active care team, in an open encounter; not of a past team
        ("Practitioner/other", set()),
        ("Patient/bob", {"bob"}),
        ("RelatedPerson/mother", {"ada"}),
        ("RelatedPerson/former", set()),
        ("Organization/x", set()),
        ("", set()),
    ],
)
def test_people_see_the_patients_they_are_tied_to(desk: Desk, user: str, expected: set[str]) -> None:
    somebody = desk.as_("user/*.rs", user=user)
    answer = somebody("GET", "Patient")
    if not user or user.startswith("Organization"):
        assert answer.status_code in (200, 403)
        assert "entry" not in answer.json()
        return
    assert somebody.sees("Patient") == expected
    of = {"eve": {"e1", "e2"}, "ada": {"a1"}, "bob": {"b1"}}
    assert somebody.sees("Observation") == set().union(*(of[id] for id in expected))
    assert somebody.sees("Observation?subject:Patient.name:contains=b") == (of["bob"] if "bob" in expected else set())


def test_a_clinician_breaks_the_glass_with_a_reason(desk: Desk) -> None:
    doctor = desk.as_("user/Patient.cruds user/Observation.rs openid", user="Practitioner/other")
    assert doctor.sees("Patient") == set()
    asked = doctor("POST", "/auth/emergency", data={"reason": "Unconscious, nobody to ask"})
    assert asked.status_code == 200, asked.text
    told = asked.json()
    assert told["scope"] == "user/Patient.rs user/Observation.rs"
    assert told["expires_in"] == 900
    broken = Somebody(desk, told["access_token"])
    assert broken.sees("Patient") == {"eve", "ada", "bob"}
    assert broken("GET", "Observation/b1").status_code == 200
    assert broken("GET", "Encounter").status_code == 403, "not within the scopes of the first token"
    assert broken("PUT", "Patient/eve", patient("eve")).status_code == 403
    again = broken("POST", "/auth/emergency", data={"reason": "and a little longer"})
    assert again.status_code == 403


@pytest.mark.parametrize(
    ("scopes", "who", "form", "status", "error"),
    [
        ("user/*.rs", {"user": "Practitioner/other"}, {"reason": "because"}, 400, "invalid_request"),
        ("user/*.rs", {"user": "Practitioner/other"}, {}, 400, "invalid_request"),
        ("user/*.rs", {"user": "Practitioner/other"}, {"reason": "x" * 501}, 400, "invalid_request"),
        ("user/*.rs", {"user": "Patient/eve"}, {"reason": "I want to see it all"}, 403, "access_denied"),
        ("user/*.rs", {"user": "RelatedPerson/mother"}, {"reason": "I want to see it all"}, 403, "access_denied"),
        ("system/*.rs", {"role": "ehr"}, {"reason": "I want to see it all"}, 403, "access_denied"),
        ("user/*.cud", {"user": "Practitioner/other"}, {"reason": "I want to see it all"}, 403, "access_denied"),
        ("patient/*.rs", {"user": "Practitioner/other", "patient": "eve"}, {"reason": "no scope of the user"}, 403,
         "access_denied"),
    ],
)  # fmt: skip
def test_nobody_else_does_and_not_without(
    desk: Desk, scopes: str, who: dict[str, str], form: dict[str, str], status: int, error: str
) -> None:
    answer = desk.as_(scopes, **who)("POST", "/auth/emergency", data=form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert desk("POST", "/auth/emergency", data={"reason": "without any token"}).status_code == 401


def test_breaking_the_glass_opens_reading_only(desk: Desk) -> None:
    doctor = desk.as_("user/*.cruds", user="Practitioner/other", emergency="unconscious, no record at hand")
    assert doctor.sees("Patient") == {"eve", "ada", "bob"}
    assert doctor("PUT", "Patient/eve", patient("eve")).status_code == 403


@pytest.mark.parametrize(
    ("role", "patients", "subjects"),
    [
        ("ehr", {"eve", "ada", "bob"}, {"r1", "r2", "r3"}),
        ("laboratory", {"eve", "ada", "bob"}, {"r1", "r2", "r3"}),
        ("study-team", set(), set()),  # nobody permits it: tests/access/consent_http_test.py
        ("researcher", set(), set()),
    ],
)
def test_backend_services_see_what_their_role_is_for(
    desk: Desk, role: str, patients: set[str], subjects: set[str]
) -> None:
    service = desk.as_("system/*.rs", role=role, study="s1")
    for type, expected in (("Patient", patients), ("ResearchSubject", subjects)):
        answer = service("GET", type)
        assert answer.status_code in (200, 403)
        assert {entry["resource"]["id"] for entry in answer.json().get("entry", ())} == expected
    assert service.sees("ResearchStudy") == {"s1", "s2"}


def test_an_organization_ties_its_clinicians_to_its_patients_if_so_set(store_url: str) -> None:
    for wide, expected in ((False, set()), (True, {"hers"})):
        desk = Desk(smart(store_url, clinicians_by_organization=wide))
        desk.register(id="app", redirects=("https://app.example/",)) if not wide else None
        operator = desk.as_("system/*.cruds", role="operator")
        for one in (
            {"resourceType": "Organization", "id": "clinic"},
            patient("hers", managingOrganization={"reference": "Organization/clinic"}),
            patient("theirs", managingOrganization={"reference": "Organization/else"}),
            {"resourceType": "PractitionerRole", "id": "role", "practitioner": {"reference": "Practitioner/d"},
             "organization": {"reference": "Organization/clinic"}, "active": True},
            {"resourceType": "PractitionerRole", "id": "past", "practitioner": {"reference": "Practitioner/d"},
             "organization": {"reference": "Organization/else"}, "active": False},
        ):  # fmt: skip
            assert operator("PUT", f"{one['resourceType']}/{one['id']}", one).status_code in (200, 201)
        assert desk.as_("user/*.rs", user="Practitioner/d").sees("Patient") == expected
        desk.close()


def test_scopes_without_somebody_behind_them_permit_nothing(desk: Desk) -> None:
    for scopes, who in (
        ("patient/*.cruds", {}),
        ("user/*.cruds", {}),
        ("system/*.cruds", {}),
        ("patient/*.cruds", {"user": "Practitioner/gp"}),
        ("openid", {"patient": "eve"}),
    ):
        somebody = desk.as_(scopes, **who)
        for path in ("Patient", "Patient/eve", "Observation", "", "_history", "Patient/eve/_history"):
            answer = somebody("GET", path)
            assert answer.status_code == 403, (scopes, path)
            assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope"'
            assert refusal(answer)["code"] == "forbidden"


@pytest.mark.parametrize(
    ("letters", "method", "path", "headers", "allowed"),
    [
        ("r", "GET", "Observation/e1", {}, True),
        ("r", "GET", "Observation/e1/_history", {}, True),
        ("r", "GET", "Observation", {}, False),
        ("r", "POST", "Observation/_search", {"content-type": "application/x-www-form-urlencoded"}, False),
        ("r", "GET", "Observation/_history", {}, False),
        ("r", "GET", "?_type=Observation", {}, False),
        ("s", "GET", "Observation", {}, True),
        ("s", "GET", "Observation/_history", {}, True),
        ("s", "GET", "Observation/e1", {}, False),
        ("rs", "DELETE", "Observation/e1", {}, False),
        ("d", "DELETE", "Observation/e1", {}, True),
        ("d", "DELETE", "Observation?_id=e1", {}, False),
        ("ds", "DELETE", "Observation?_id=e1", {}, True),
        ("s", "GET", "Patient", {}, False),
        ("rs", "GET", "Observation/e1/$meta", {}, True),
        ("rs", "POST", "Observation/e1/$meta-add", {}, False),
        ("cruds", "POST", "Observation/e1/$expunge", {}, False),
        ("cruds", "POST", "$reindex", {}, False),
        ("cruds", "GET", "Observation?_explain=true", {}, False),
    ],
)
def test_each_interaction_takes_its_letters(
    desk: Desk, letters: str, method: str, path: str, headers: dict[str, str], allowed: bool
) -> None:
    somebody = desk.as_(f"patient/Observation.{letters}", patient="eve")
    assert (somebody(method, path, headers=headers).status_code != 403) is allowed


def test_what_is_written_must_be_the_callers_before_and_after(desk: Desk) -> None:
    app = desk.as_("patient/*.cruds", patient="eve")
    versions = desk.as_("system/*.rs", role="ehr")("GET", "_history?_count=1000").json()["entry"]
    refused = [
        app("POST", "Observation", observation("x", "ada")),
        app("POST", "Patient", patient("x")),
        app("POST", "Practitioner", {"resourceType": "Practitioner"}),
        app("PUT", "Observation/e1", observation("e1", "ada")),  # given away
        app("PUT", "Observation/a1", observation("a1", "eve")),  # taken
        app("PATCH", "Observation/e1", '[{"op":"replace","path":"/subject/reference","value":"Patient/ada"}]',
            headers={"content-type": "application/json-patch+json"}),
        app("PUT", "Observation?_id=e1", observation("e1", "bob")),
        app("DELETE", "Practitioner/gp"),
    ]  # fmt: skip
    assert [answer.status_code for answer in refused] == [403] * len(refused)
    batch = [
        {"resource": observation("x", "eve"), "request": {"method": "POST", "url": "Observation"}},
        {"resource": observation("x", "ada"), "request": {"method": "POST", "url": "Observation"}},
        {"request": {"method": "GET", "url": "Observation/a1"}},
    ]
    whole = app("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": batch[:2]})
    assert whole.status_code == 403
    after = desk.as_("system/*.rs", role="ehr")("GET", "_history?_count=1000").json()["entry"]
    assert len(after) == len(versions), "nothing was written"
    each = app("POST", "", {"resourceType": "Bundle", "type": "batch", "entry": batch}).json()["entry"]
    assert [entry["response"]["status"] for entry in each] == ["201", "403", "404"]
    own = app("PUT", "Observation/e1", observation("e1", "eve", status="amended"))
    assert own.status_code == 200


def test_ids_cannot_be_tried_out(desk: Desk) -> None:
    app = desk.as_("patient/*.cruds", patient="eve")
    for ids in (("a1", "none"), ("b1", "never")):
        answers = [
            app("PUT", f"Observation/{id}", observation(id, "eve"), headers=headers).text.replace(id, "?")
            for headers in ({}, {"if-match": 'W/"1"'})
            for id in ids
        ]
        assert len(set(answers)) == 1, answers
        for body in ({"_id": ids[0]}, {"_id": ids[1]}):
            found = app("PUT", f"Observation?identifier=x|{body['_id']}", observation(body["_id"], "eve"))
            assert found.status_code == 403
    made = app("PUT", "Observation?identifier=x|1", {**observation("?", "eve"), "id": None} | {"identifier": []})
    assert made.status_code in (400, 422)
    fresh = {key: value for key, value in observation("", "eve").items() if key != "id"}
    made = app("PUT", "Observation?identifier=x|1", fresh)
    assert made.status_code == 201, "the server draws the id"


def test_an_old_version_of_another_patient_stays_hidden(desk: Desk) -> None:
    ehr = desk.as_("system/*.cruds", role="ehr")
    assert (
        ehr("PUT", "Observation/b1", observation("b1", "eve")).status_code == 200
    )  # it was filed under the wrong name
    app = desk.as_("patient/*.rs", patient="eve")
    assert app("GET", "Observation/b1").status_code == 200
    assert app("GET", "Observation/b1/_history/2").status_code == 200
    assert app("GET", "Observation/b1/_history/1").status_code == 404
    for path in ("Observation/b1/_history", "Observation/_history", "_history"):
        assert "Patient/bob" not in app("GET", path).text
    bob = desk.as_("patient/*.rs", patient="bob")
    assert bob("GET", "Observation/b1/_history/1").status_code == 404


def test_a_withdrawn_token_is_dead_within_a_second(desk: Desk) -> None:
    import time

    from fhir_server.auth.tokens import revoke

    made = Authorization(client="app", scopes=("patient/*.rs",), patient="eve")

    async def tokens() -> tuple[str, str]:
        id = await authorize(desk.server, made)
        return id, await issue(desk.server, id, made, made.scopes, 300)

    id, token = desk.run(tokens())
    somebody = Somebody(desk, token)
    assert somebody("GET", "Patient/eve").status_code == 200
    desk.run(revoke(desk.server, id))
    time.sleep(1.0)
    assert somebody("GET", "Patient/eve").status_code == 401


def test_a_job_that_another_process_goes_on_with_keeps_its_callers_rights(desk: Desk) -> None:
    from fhir_server.interactions import job_run, jobs
    from fhir_server.interactions.ask import Ask
    from fhir_server.rest.routes import ENTRY_SHAPES

    app = desk.as_("patient/*.cruds", patient="eve")
    caller = desk.run(bearer(desk.server, {b"authorization": app.header["authorization"].encode()}, "transaction"))
    entries = [{"resource": observation("x", "ada"), "request": {"method": "POST", "url": "Observation"}}]
    given = {"resourceType": "Bundle", "type": "transaction", "entry": entries}

    def dies(*_: object) -> None:
        return None

    async def begun() -> str:
        start, jobs.start = jobs.start, dies  # type: ignore[assignment]
        try:
            answer = await jobs.accept(desk.server, caller, Ask(resource=given, later=True), ENTRY_SHAPES)
        finally:
            jobs.start = start
        return dict(answer.headers)["Content-Location"].rpartition("/")[2]

    id = desk.run(begun())
    desk.run(job_run._run(desk.server, None, id, ENTRY_SHAPES))
    assert app("GET", f"_async/{id}").status_code == 403
    assert desk.as_("patient/*.cruds", patient="ada")("GET", f"_async/{id}").status_code == 404


def test_a_binary_is_read_by_who_may_read_its_context(desk: Desk) -> None:
    ehr = desk.as_("system/*.cruds", role="ehr")
    for id, context in (("own", "Patient/eve"), ("lab", "Observation/e1"), ("others", "Observation/a1"), ("none", "")):
        body: dict[str, Any] = {"resourceType": "Binary", "id": id, "contentType": "text/plain", "data": "eA=="}
        body |= {"securityContext": {"reference": context}} if context else {}
        assert ehr("PUT", f"Binary/{id}", body).status_code == 201
    app = desk.as_("patient/*.rs", patient="eve")
    for headers in ({}, {"accept": "text/plain"}):
        answers = {
            id: app("GET", f"Binary/{id}", headers=headers).status_code for id in ("own", "lab", "others", "none")
        }
        assert answers == {"own": 200, "lab": 200, "others": 404, "none": 404}
    only = desk.as_("patient/Binary.rs patient/Patient.rs", patient="eve")
    assert only("GET", "Binary/own").status_code == 200
    assert only("GET", "Binary/lab").status_code == 404, "the Observation is not within the scopes"
    assert desk.as_("patient/Patient.rs", patient="eve")("GET", "Binary/own").status_code == 403
