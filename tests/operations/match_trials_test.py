"""$match-trials, $match-patients and ResearchStudy/$match over HTTP: who is shown what, and why.

See docs/operations/match.md.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from fhir_server.settings import Settings
from tests.access.rights_test import Desk
from tests.auth.door import smart
from tests.client import BASE, Client, refusal
from tests.matching import world as w

GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"
STUDY = "egfr-nsclc-01"
CHILDREN = w.group(
    "young-eligibility", w.trait("a", "30525-0", valueQuantity={"value": 18, "comparator": "<", "code": "a"})
)
ECOG = {"code": {"coding": [{"system": w.LOINC, "code": "89247-1"}]}}


def person(id: str, *without: str, consents: bool = True, **more: Any) -> list[w.Resource]:
    """Somebody whose record fits the worked example, but for what is left out."""
    record = [one for one in w.fitting_record(id) if one["id"].removeprefix(f"{id}-") not in without]
    agreed = [w.consent(f"{id}-yes", of=id)] if consents else []
    return [w.patient(id, **more), *agreed, *record]


WORLD = [
    *w.worked_example(),
    w.study("young"),
    CHILDREN,
    w.study("closed", STUDY + "-eligibility", status="completed"),
    *person("fits"),
    *person("maybe", "ecog"),
    *person("refuses", consents=False),
    *person("child", birth="2015-01-01"),
    *person("late", deceasedBoolean=True),
]


def fill(post: Any, *resources: w.Resource) -> None:
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in resources
    ]
    answer = post("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text


@pytest.fixture
def world(store_url: str) -> Iterator[Client]:
    """A server that writes no candidates by itself, so that what is stored stands still."""
    opened = Client(Settings(store=store_url, base_url=BASE, auth="open", access_log=False, match=False))
    fill(opened, *WORLD)
    yield opened
    opened.close()


def asked(client: Any, path: str, body: Any = None) -> dict[str, Any]:
    answer = client("POST" if body else "GET", path, body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert found["type"] == "searchset"
    return found


def by_mode(bundle: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    return [one for one in bundle.get("entry", ()) if one["search"]["mode"] == mode]


def matches(bundle: dict[str, Any]) -> list[tuple[str, str, float]]:
    """Id, grade and score of each match, in order."""
    found = []
    for one in by_mode(bundle, "match"):
        (extension,) = one["search"]["extension"]
        assert extension["url"] == GRADE
        assert one["fullUrl"] == f"{BASE}/{one['resource']['resourceType']}/{one['resource']['id']}"
        found.append((one["resource"]["id"], extension["valueCode"], one["search"]["score"]))
    return found


def reasons(bundle: dict[str, Any], study: str = STUDY) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The GuidanceResponse for a study, and its criteria as name to value."""
    included = [one["resource"] for one in by_mode(bundle, "include")]
    (guidance,) = (one for one in included if one.get("moduleUri") == f"ResearchStudy/{study}")
    told = []
    for parameter in guidance["contained"][0]["parameter"][1:]:
        assert parameter["name"] == "criterion"
        parts: dict[str, Any] = {"evidence": []}
        for part in parameter["part"]:
            value = next(value for key, value in part.items() if key.startswith("value"))
            if part["name"] == "evidence":
                parts["evidence"].append(value["reference"])
            else:
                parts[part["name"]] = value
        told.append(parts)
    return guidance, told


def test_a_patient_who_fits_learns_why(world: Client) -> None:
    bundle = asked(world, "Patient/fits/$match-trials")
    assert matches(bundle) == [(STUDY, "certain", 1)]
    assert bundle["total"] == 1
    guidance, told = reasons(bundle)
    assert "id" not in guidance
    assert guidance["status"] == "success"
    assert guidance["subject"] == {"reference": "Patient/fits"}
    assert guidance["contained"][0]["parameter"][0] == {"name": "overall", "valueCode": "match"}
    assert [one["id"] for one in told] == ["c1", "c2", "c3", "c3a", "c3b", "c4", "c5", "c6", "c6a", "c6b", "c7"]
    by_id = {one["id"]: one for one in told}
    assert {one["outcome"] for one in told if one["id"] in ("c1", "c2", "c3", "c3b", "c4", "c5", "c6", "c7")} == {"met"}
    assert by_id["c3b"]["evidence"] == ["Observation/fits-var/_history/1"]
    assert by_id["c4"]["text"].startswith("Excluded: ")
    assert by_id["c6b"]["outcome"] == "unknown"
    assert "action" not in by_id["c6b"]  # it could not change the outcome


def test_an_unknown_names_the_data_that_would_settle_it(world: Client) -> None:
    bundle = asked(world, "Patient/maybe/$match-trials")
    assert matches(bundle) == [(STUDY, "possible", 0.857)]  # 6 of 7
    guidance, told = reasons(bundle)
    assert guidance["status"] == "data-required"
    assert guidance["contained"][0]["parameter"][0]["valueCode"] == "unknown"
    (need,) = guidance["dataRequirement"]
    assert need["codeFilter"][0]["code"][0]["code"] == "89247-1"
    assert [one["action"] for one in told if "action" in one] == ["Record ECOG performance status"]
    fill(world, w.ecog("maybe-ecog", 1, of="maybe"))
    assert matches(asked(world, "Patient/maybe/$match-trials")) == [(STUDY, "certain", 1)]


def test_a_group_stands_before_its_members_and_a_failure_is_explained_on_demand(world: Client) -> None:
    assert matches(asked(world, "Patient/child/$match-trials")) == [("young", "certain", 1)]
    bundle = asked(world, "Patient/child/$match-trials?status=no-match")
    assert matches(bundle) == [(STUDY, "certainly-not", 0)]
    guidance, told = reasons(bundle)
    assert guidance["contained"][0]["parameter"][0]["valueCode"] == "no-match"
    assert [one["id"] for one in told if one["outcome"] == "not-met"] == ["c2", "c3a"]
    assert "any of 2: " in next(one["text"] for one in told if one["id"] == "c3")


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", ["young"]),
        ("?status=match", ["young"]),
        ("?status=unknown", []),
        ("?status=all", ["young", STUDY]),
        ("?status=match,no-match", ["young", STUDY]),
        ("?status=match&status=no-match", ["young", STUDY]),
        (f"?study={STUDY}", []),
        (f"?study={STUDY}&status=all", [STUDY]),
        (f"?study=ResearchStudy/{STUDY}&status=all", [STUDY]),
        (f"?study={BASE}/ResearchStudy/{STUDY}&status=all", [STUDY]),
        ("?date=2040-01-01&status=all", [STUDY, "young"]),  # the child has come of age
        ("?_count=1&status=all", ["young"]),
    ],
)
def test_parameters_choose(world: Client, query: str, ids: list[str]) -> None:
    assert [id for id, _, _ in matches(asked(world, f"Patient/child/$match-trials{query}"))] == ids


def test_parameters_may_be_posted(world: Client) -> None:
    named = [
        {"name": "study", "valueReference": {"reference": f"ResearchStudy/{STUDY}"}},
        {"name": "status", "valueCode": "no-match"},
        {"name": "_count", "valueInteger": 5},
    ]
    body = {"resourceType": "Parameters", "parameter": named}
    assert matches(asked(world, "Patient/child/$match-trials", body)) == [(STUDY, "certainly-not", 0)]


def test_pages_follow_one_another(world: Client) -> None:
    fill(world, *(w.study(f"again{n}", "young-eligibility") for n in range(4)))
    seen: list[str] = []
    url = "Patient/child/$match-trials?_count=2"
    while url:
        bundle = asked(world, url)
        assert bundle["total"] == 5
        seen += [id for id, _, _ in matches(bundle)]
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        url = links.get("next", "").removeprefix(f"{BASE}/")
    assert seen == ["again0", "again1", "again2", "again3", "young"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("Patient/nobody/$match-trials", 404),
        ("ResearchStudy/nothing/$match-patients", 404),
        ("Patient/fits/$match-trials?study=nothing", 404),
        ("Patient/fits/$match-trials?study=Patient/fits", 400),
        ("Patient/fits/$match-trials?status=maybe", 400),
        ("Patient/fits/$match-trials?date=tomorrow", 400),
        ("Patient/fits/$match-trials?_page=abc", 400),
        ("Patient/fits/$match-trials?wrong=1", 400),
        ("Observation/fits-ecog/$match-trials", 404),
    ],
)
def test_what_cannot_be_asked_is_refused(world: Client, path: str, status: int) -> None:
    answer = world("GET", path)
    assert answer.status_code == status, answer.text
    refusal(answer)


def test_without_consent_matching_is_off_and_the_answer_says_how_to_turn_it_on(world: Client) -> None:
    bundle = asked(world, "Patient/refuses/$match-trials?status=all")
    assert (bundle["total"], len(bundle["entry"])) == (0, 1)
    (issue,) = bundle["entry"][0]["resource"]["issue"]
    assert "off" in issue["diagnostics"]
    assert "CLINTRCH" in issue["diagnostics"]
    fill(world, w.consent("refuses-yes", of="refuses"))
    assert matches(asked(world, "Patient/refuses/$match-trials")) == [(STUDY, "certain", 1)]
    fill(world, w.consent("refuses-yes", of="refuses", provision={"type": "deny"}))
    (issue,) = asked(world, "Patient/refuses/$match-trials")["entry"][0]["resource"]["issue"]
    assert "Consent/refuses-yes/_history/2" in issue["diagnostics"]


def test_consent_is_judged_now_whatever_the_date(world: Client) -> None:
    ended = {"type": "permit", "purpose": [w.purpose("HRESCH")], "period": {"end": "2020-01-01"}}
    fill(world, w.consent("fits-yes", of="fits", provision=ended))
    assert matches(asked(world, "Patient/fits/$match-trials?date=2019-01-01")) == []


def test_the_dead_and_studies_that_do_not_recruit_are_not_matched(world: Client) -> None:
    assert matches(asked(world, "Patient/late/$match-trials?status=all")) == []
    bundle = asked(world, "Patient/fits/$match-trials?study=closed&status=all")
    assert matches(bundle) == []
    assert "not recruiting" in by_mode(bundle, "outcome")[0]["resource"]["issue"][0]["diagnostics"]
    fill(world, w.study("text", "text-eligibility"), w.group("text-eligibility", name="Adults with good will"))
    bundle = asked(world, "Patient/fits/$match-trials?study=text&status=all")
    assert "no characteristic" in by_mode(bundle, "outcome")[0]["resource"]["issue"][0]["diagnostics"]


def test_patients_of_a_trial_are_ranked_and_those_who_refuse_leave_no_trace(world: Client) -> None:
    bundle = asked(world, f"ResearchStudy/{STUDY}/$match-patients")
    assert matches(bundle) == [("fits", "certain", 1), ("maybe", "possible", 0.857)]
    everything = asked(world, f"ResearchStudy/{STUDY}/$match-patients?status=all")
    assert [id for id, _, _ in matches(everything)] == ["fits", "maybe", "child"]
    assert everything["total"] == 3
    text = world("GET", f"ResearchStudy/{STUDY}/$match-patients?status=all").text
    assert "refuses" not in text
    assert "late" not in text
    assert matches(asked(world, "ResearchStudy/closed/$match-patients?status=all")) == []


def test_stored_candidates_are_included(world: Client) -> None:
    own = {
        "resourceType": "ResearchSubject",
        "id": "own",
        "status": "on-study",
        "study": {"reference": f"ResearchStudy/{STUDY}"},
        "individual": w.about("fits"),
    }
    fill(world, own, {**own, "id": "other", "individual": w.about("refuses")})
    for path in ("Patient/fits/$match-trials", f"ResearchStudy/{STUDY}/$match-patients"):
        included = [one["resource"].get("id") for one in by_mode(asked(world, path), "include")]
        assert [id for id in included if id] == ["own"]


def test_nothing_is_stored(world: Client) -> None:
    before = world.versions()
    for path in ("Patient/fits/$match-trials", f"ResearchStudy/{STUDY}/$match-patients"):
        asked(world, path)
    asked(world, "ResearchStudy/$match", brought(person("new")))
    assert world.versions() == before


def brought(record: list[w.Resource], **named: str) -> w.Resource:
    """The Parameters of ResearchStudy/$match."""
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in record]}
    given: list[w.Resource] = [{"name": "trialMatchClinicalData", "resource": bundle}]
    given += [{"name": name, "valueString": value} for name, value in named.items()]
    return {"resourceType": "Parameters", "parameter": given}


def test_a_record_that_is_brought_is_matched(world: Client) -> None:
    bundle = asked(world, "ResearchStudy/$match", brought(person("new", consents=False)))
    assert matches(bundle) == [(STUDY, "certain", 1)]
    _, told = reasons(bundle)
    assert next(one["evidence"] for one in told if one["id"] == "c3b") == ["Observation/new-var"]
    denied = [*person("new", consents=False), w.consent("no", of="new", provision={"type": "deny"})]
    assert matches(asked(world, "ResearchStudy/$match", brought(denied))) == []
    some = brought(person("new", "ecog"))
    assert matches(asked(world, "ResearchStudy/$match", some)) == [(STUDY, "possible", 0.857)]


def test_phase_and_recruitment_status_choose_trials(world: Client) -> None:
    phases = "http://terminology.hl7.org/CodeSystem/research-study-phase"
    study, _ = w.worked_example()
    fill(world, {**study, "phase": w.concept((phases, "phase-1-phase-2"))})
    record = person("new")
    for named, found in (
        ({"phase": "phase-2"}, 1),
        ({"phase": "phase-1-phase-2"}, 1),
        ({"phase": "phase-3"}, 0),
        ({"phase": "phase-3,phase-1"}, 1),
        ({"phase": "early-phase-1"}, 0),
        ({"phase": "any"}, 1),
        ({"recruitmentStatus": "active"}, 1),
        ({"recruitmentStatus": "completed"}, 0),
    ):
        assert len(matches(asked(world, "ResearchStudy/$match", brought(record, **named)))) == found, named


def test_trials_within_reach(world: Client) -> None:
    def place(id: str, code: str, latitude: float) -> w.Resource:
        position = {"latitude": latitude, "longitude": -77.0}
        return {"resourceType": "Location", "id": id, "address": {"postalCode": code}, "position": position}

    study, _ = w.worked_example()
    site = [{"reference": "Location/far"}]
    fill(world, place("home", "20814", 39.0), place("far", "99501", 61.2), {**study, "site": site})
    for named, found in (
        ({"zipCode": "20814", "travelRadius": "100"}, 0),
        ({"zipCode": "20899", "travelRadius": "100"}, 0),  # another code of the area
        ({"zipCode": "20814", "travelRadius": "2000"}, 1),  # the two are 1,534 miles apart
        ({"zipCode": "00000", "travelRadius": "1"}, 1),
    ):
        bundle = asked(world, "ResearchStudy/$match", brought(person("new"), **named))
        assert len(matches(bundle)) == found, named
        assert bool(by_mode(bundle, "outcome")) == (named["zipCode"] == "00000")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"resourceType": "Parameters"}, 400),
        (brought([]), 422),
        (brought([w.patient("a"), w.patient("b")]), 422),
        (brought([w.patient("a"), w.ecog("e", 1, of="b")]), 422),
        (brought([{**w.patient("a"), "gender": 5}]), 422),
        (brought([w.patient("a")], zipCode="20814"), 400),
        (brought([w.patient("a")], zipCode="20814", travelRadius="near"), 400),
        (brought([w.patient("a")], zipCode="20814", travelRadius="nan"), 400),
    ],
)
def test_a_bad_record_is_refused(world: Client, body: w.Resource, status: int) -> None:
    answer = world("POST", "ResearchStudy/$match", body)
    assert answer.status_code == status, answer.text
    refusal(answer)


@pytest.fixture
def desk(store_url: str) -> Iterator[Desk]:
    """The same world with tokens; a clinician cares for two of the patients."""
    opened = Desk(smart(store_url))
    opened.register(id="app", redirects=("https://app.example/",))
    cared = [{**one, "generalPractitioner": [{"reference": "Practitioner/gp"}]} if one["id"] in ("maybe", "refuses")
             else one for one in WORLD]  # fmt: skip
    kin = {"resourceType": "RelatedPerson", "id": "kin", "patient": w.about("refuses")}
    fill(opened.as_("system/*.cruds", role="operator"), *cared, {"resourceType": "Practitioner", "id": "gp"}, kin)
    yield opened
    opened.close()


def test_callers_see_patients_and_studies_within_their_rights(desk: Desk) -> None:
    gp = desk.as_("user/*.rs", user="Practitioner/gp")
    assert [id for id, _, _ in matches_of(gp, f"ResearchStudy/{STUDY}/$match-patients")] == ["maybe"]
    assert matches_of(gp, "Patient/maybe/$match-trials")
    hidden, absent = (gp("GET", f"Patient/{id}/$match-trials") for id in ("fits", "nobody"))
    assert hidden.status_code == absent.status_code == 404
    assert hidden.text.replace("fits", "nobody") == absent.text
    app = desk.as_("patient/*.rs", patient="fits", user="Patient/fits")
    assert [id for id, _, _ in matches_of(app, f"ResearchStudy/{STUDY}/$match-patients")] == ["fits"]
    team = desk.as_("system/*.rs", role="study-team", study=STUDY)
    for path in (f"ResearchStudy/{STUDY}/$match-patients", "Patient/fits/$match-trials"):
        assert team("GET", path).status_code == 403
    for scopes in ("patient/Patient.rs", "patient/Patient.rs patient/ResearchStudy.rs"):
        narrow = desk.as_(scopes, patient="fits", user="Patient/fits")
        assert narrow("GET", "Patient/fits/$match-trials").status_code == 403


def matches_of(somebody: Any, path: str) -> list[tuple[str, str, float]]:
    answer = somebody("GET", path)
    assert answer.status_code == 200, answer.text
    return [
        (one["resource"]["id"], one["search"]["extension"][0]["valueCode"], one["search"]["score"])
        for one in by_mode(answer.json(), "match")
    ]


def test_only_those_concerned_are_told_that_matching_is_off(desk: Desk) -> None:
    path = "Patient/refuses/$match-trials?status=all"
    for who in ({"user": "Patient/refuses"}, {"user": "RelatedPerson/kin"}):
        told = desk.as_("user/*.rs", **who)("GET", path).json()
        assert "CLINTRCH" in by_mode(told, "outcome")[0]["resource"]["issue"][0]["diagnostics"], who
    gp = desk.as_("user/*.rs", user="Practitioner/gp")("GET", path).json()
    assert gp["total"] == 0
    assert "entry" not in gp
    assert urlsplit(gp["link"][0]["url"]).path.endswith("/Patient/refuses/$match-trials")
