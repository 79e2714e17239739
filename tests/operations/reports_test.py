"""$attrition and $diversity: whom a trial misses, told without telling of anyone. docs/operations/attrition.md"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.settings import Settings
from tests.client import Client, refusal
from tests.matching import world as w
from tests.operations.match_trials_test import desk, fill

__all__ = ["desk"]
STUDY = "ecog"
CRITERIA = w.group(
    "ecog-eligibility",
    w.trait("age", "30525-0", valueQuantity={"value": 18, "comparator": ">=", "code": "a"}),
    w.trait("ecog", "89247-1", valueRange={"low": {"value": 0}, "high": {"value": 1}}),
)


def people(start: int, count: int, ecog: int | None, consents: bool = True, **more: Any) -> list[w.Resource]:
    made: list[w.Resource] = []
    for number in range(start, start + count):
        id = f"p{number}"
        made.append(w.patient(id, **more))
        made += [w.consent(f"{id}-yes", of=id)] if consents else []
        made += [] if ecog is None else [w.ecog(f"{id}-ecog", ecog, of=id)]
    return made


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Client]:
    """People of a server that writes no candidates meanwhile: the counts stand still."""
    opened = Client(Settings(store=f"sqlite:///{tmp_path / 'fhir.db'}", auth="open", access_log=False, match=False))
    fill(
        opened,
        w.study(STUDY, "ecog-eligibility"),
        CRITERIA,
        *people(0, 24, 1, gender="female"),
        *people(25, 15, 3, gender="female"),
        *people(40, 24, 1, gender="male"),
        *people(70, 14, 3, gender="male"),
        *people(90, 4, None, gender="male"),  # too few to be told
        *people(95, 2, 1, gender="other"),
        *people(200, 30, 1, consents=False, gender="female"),
    )
    yield opened
    opened.close()


def parts(parameter: dict[str, Any]) -> dict[str, Any]:
    return {
        part["name"]: next((value for key, value in part.items() if key.startswith("value")), None)
        for part in parameter["part"]
    }


def test_reports_join_what_is_too_small_and_leave_out_who_refuses(crowd: Client) -> None:
    attrition(crowd)
    attrition_by_groups(crowd)
    diversity_beside_a_reference(crowd)


def attrition(crowd: Client) -> None:
    answer = crowd("GET", f"ResearchStudy/{STUDY}/$attrition")
    assert answer.status_code == 200, answer.text
    overall, age, ecog = answer.json()["parameter"]
    assert parts(overall) == {"people": 83, "match": 50, "no-match or unknown": 33}
    assert parts(ecog) == {
        "id": "ecog",
        "text": "ECOG performance status 0 to 1",
        "people": 83,
        "met": 50,
        "not-met or unknown": 33,
    }
    assert parts(age) == {"id": "age", "text": "Age >= 18 years", "people": 83, "met or not-met or unknown": 83}


def attrition_by_groups(crowd: Client) -> None:
    ecog = crowd("GET", f"ResearchStudy/{STUDY}/$attrition?by=sex").json()["parameter"][2]
    rows = [parts(part) for part in ecog["part"] if part["name"] == "stratum"]
    assert rows == [
        {"value": "female or other", "people": 41, "met": 26, "not-met or unknown": 15},
        {"value": "male", "people": 42, "met": 24, "not-met or unknown": 18},
    ]


def diversity_beside_a_reference(crowd: Client) -> None:
    subject = {"resourceType": "ResearchSubject", "study": {"reference": f"ResearchStudy/{STUDY}"}}
    fill(crowd, *({**subject, "id": f"s{n}", "status": "on-study", "individual": w.about(f"p{n}")} for n in range(12)))
    fill(
        crowd,
        *({**subject, "id": f"s{n}", "status": "on-study", "individual": w.about(f"p{n}")} for n in range(40, 52)),
    )
    path = f"ResearchStudy/{STUDY}/$diversity?reference=sex|female=0.51&reference=sex|male=0.49"
    dimensions = {parts(one)["name"]: one for one in crowd("GET", path).json()["parameter"]}
    assert set(dimensions) == {"race", "ethnicity", "sex", "age", "rurality", "language"}
    female, male = [part["part"] for part in dimensions["sex"]["part"] if part["name"] == "stratum"]
    told = {part["name"]: part for part in female}
    assert parts(told["pool"]) == {"people": 41, "share": 0.494}
    assert parts(told["enrolled or candidate"]) == {"people": 12, "share": 0.5}
    assert "reference" not in told, "there is none for some of these"
    assert {part["name"]: part for part in male}["reference"]["valueDecimal"] == 0.49
    counts = [part["valueInteger"] for one in (female, male) for p in one if "part" in p
              for part in p["part"] if part["name"] == "people"]  # fmt: skip
    assert min(counts) >= 11


def test_few_people_are_not_told_at_all(client: Client) -> None:
    fill(client, w.study(STUDY, "ecog-eligibility"), CRITERIA, *people(0, 10, 1))
    for operation in ("$attrition", "$diversity", "$attrition?by=age"):
        text = client("GET", f"ResearchStudy/{STUDY}/{operation}").text
        assert "suppressed" in text
        assert "valueInteger" not in text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("ResearchStudy/none/$attrition", 404),
        (f"ResearchStudy/{STUDY}/$attrition?by=income", 400),
        (f"ResearchStudy/{STUDY}/$diversity?reference=sex", 400),
        (f"ResearchStudy/{STUDY}/$diversity?reference=sex|male=2", 400),
        (f"ResearchStudy/{STUDY}/$diversity?reference=income|low=0.2", 400),
        ("ResearchStudy/closed/$attrition", 422),
    ],
)
def test_what_cannot_be_reported(client: Client, path: str, status: int) -> None:
    fill(
        client, w.study(STUDY, "ecog-eligibility"), CRITERIA, w.study("closed", "ecog-eligibility", status="completed")
    )
    answer = client("GET", path)
    assert answer.status_code == status, answer.text
    refusal(answer)


def test_a_study_team_gets_reports_on_its_own_study_only(desk: Any) -> None:
    team = desk.as_("system/*.rs", role="study-team", study="egfr-nsclc-01")
    assert team("GET", "ResearchStudy/egfr-nsclc-01/$attrition").status_code == 200
    assert team("GET", "ResearchStudy/young/$attrition").status_code == 403
