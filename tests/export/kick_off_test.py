"""$export: what is asked for and what is refused. https://hl7.org/fhir/uv/bulkdata/STU2/export.html#query-parameters"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.client import BASE, refusal
from tests.export.conftest import Researcher, group, observation, parameters, patient, settings

PRACTITIONER = {"resourceType": "Practitioner", "id": "d1"}


def fill(client: Researcher) -> None:
    """Three patients with an Observation each, a Group of the first two, and who treats the first."""
    doctor = {"performer": [{"reference": "Practitioner/d1"}]}
    client.put(
        PRACTITIONER,
        {"resourceType": "Practitioner", "id": "d2"},
        *(patient(id, gender="female", birthDate="1970-01-01") for id in ("p1", "p2", "p3")),
        observation("o1", "p1", **doctor),
        observation("o2", "p2", status="preliminary"),
        observation("o3", "p3"),
        {"resourceType": "Provenance", "id": "v1", "target": [{"reference": "Observation/o1"}],
         "recorded": "2026-01-01T00:00:00Z", "agent": [{"who": {"reference": "Practitioner/d2"}}]},
        {"resourceType": "Provenance", "id": "v2", "target": [{"reference": "Observation/o1"}],
         "recorded": "2026-02-01T00:00:00Z", "agent": [{"who": {"reference": "Practitioner/d2"}}]},
        {"resourceType": "Provenance", "id": "v3", "target": [{"reference": "Observation/o3"}],
         "recorded": "2026-01-01T00:00:00Z", "agent": [{"who": {"reference": "Practitioner/d2"}}]},
        group("g1", "p1", "p2"),
        group("g2", "p1", "p3"),
    )  # fmt: skip


@pytest.fixture
def filled(client: Researcher) -> Researcher:
    """A client of a filled server, once for each kind of store."""
    fill(client)
    return client


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Researcher]:
    """A client of one filled server for all refusals."""
    folder = tmp_path_factory.mktemp("export")
    opened = Researcher(settings(f"sqlite:///{folder / 'fhir.db'}", folder))
    fill(opened)
    yield opened
    opened.close()


ALL = {
    "Patient": {"p1", "p2", "p3"}, "Observation": {"o1", "o2", "o3"}, "Practitioner": {"d1", "d2"},
    "Provenance": {"v1", "v2", "v3"}, "Group": {"g1", "g2"},
}  # fmt: skip
OF_G1 = {
    "Patient": {"p1", "p2"}, "Observation": {"o1", "o2"}, "Practitioner": {"d1"}, "Provenance": {"v1", "v2"},
}  # fmt: skip


def test_the_three_levels_by_get_and_post(filled: Researcher) -> None:
    assert filled.exported("$export") == ALL
    assert filled.exported("$export", parameters()) == ALL
    of_patients = {type: ids for type, ids in ALL.items() if type != "Group"} | {"Practitioner": {"d1"}}
    assert filled.exported("Patient/$export") == of_patients
    assert filled.exported("Group/g1/$export") == OF_G1
    assert filled.exported("Group/g1/$export", parameters()) == OF_G1


def test_the_answers_of_a_kick_off_and_a_status(filled: Researcher) -> None:
    sent = "$export?_type=Patient&_outputFormat=application%2Ffhir%2Bndjson"
    answer = filled.kick(sent)
    assert answer.status_code == 202
    assert answer.headers["content-location"].startswith(f"{BASE}/_export/")
    path = answer.headers["content-location"].removeprefix(f"{BASE}/")
    first = filled("GET", path)
    assert first.status_code == 202  # however soon it is done
    assert int(first.headers["retry-after"]) >= 1
    assert first.headers["x-progress"].split()[:2][1] == "%"
    assert len(first.headers["x-progress"]) < 100
    last = filled.ended(path)
    assert last.headers["content-type"] == "application/json"
    assert "GMT" in last.headers["expires"]
    manifest = last.json()
    assert manifest.keys() == {"transactionTime", "request", "requiresAccessToken", "output", "error"}
    assert manifest["request"] == f"{BASE}/{sent}"
    assert manifest["requiresAccessToken"] is False
    assert [item["type"] for item in manifest["output"]] == ["Patient"]
    for accept in ("application/json", "application/fhir+json", "*/*", "application/fhir+xml"):
        again = filled("GET", path, headers={"accept": accept})
        assert (again.json(), again.headers["content-type"]) == (manifest, "application/json")


def test_parameters_that_are_taken(filled: Researcher) -> None:
    for query, types in (
        ("_type=Patient,Observation", {"Patient", "Observation"}),
        ("_type=Patient&_type=Observation", {"Patient", "Observation"}),
        ("_outputFormat=ndjson&_type=Group", {"Group"}),
        ("_outputFormat=application/fhir+ndjson&_type=Group", {"Group"}),
        ("_outputFormat=application/ndjson&_type=Group", {"Group"}),
        ("_since=2020-01-01T00:00:00%2B02:00&_type=Patient", {"Patient"}),
        ("_since=2020-01-01T00:00:00+02:00&_type=Patient", {"Patient"}),
        ("_until=2020-01-01T00:00:00Z&_type=Patient", set()),
        ("_type=Observation&_typeFilter=Observation%3Fstatus%3Dpreliminary", {"Observation"}),
        ("allowPartialManifests=true&_type=Patient", {"Patient"}),
        ("_type=Immunization", set()),
    ):
        assert filled.exported(f"$export?{query}").keys() == types, query


@pytest.mark.parametrize(
    ("path", "code", "at"),
    [
        ("$export?_outputFormat=application/xml", 400, "_outputFormat"),
        ("$export?_outputFormat=text/html", 400, "_outputFormat"),
        ("$export?_since=0000-60-01T30:70:80%2B05:00", 400, "_since"),
        ("$export?_since=2999-01-01T00:00:00Z", 400, "_since"),
        ("$export?_since=2022-01-01&_until=2021-01-01", 400, "_since"),
        ("$export?_type=Nonsense", 400, "_type"),
        ("$export?_type=", 400, "_type"),
        ("$export?_elements=Patient.nonsense", 400, "_elements"),
        ("$export?_elements=Patient.name.family", 400, "_elements"),
        ("$export?_typeFilter=Patient%3Fstatus%3Dactive", 400, ""),
        ("$export?_typeFilter=Patient%3F_count%3D2", 400, "_typeFilter"),
        ("$export?_typeFilter=gender%3Dfemale", 400, "_typeFilter"),
        ("$export?_type=Patient&_typeFilter=Group%3Fcode%3Dx", 400, "_typeFilter"),
        ("$export?includeAssociatedData=Everything", 400, "includeAssociatedData"),
        ("$export?patient=p1", 400, ""),
        ("$export?organizeOutputBy=Practitioner", 400, "organizeOutputBy"),
        ("$export?nonsense=1", 400, "nonsense"),
        ("$export?allowPartialManifests=perhaps", 400, "allowPartialManifests"),
        ("Patient/$export?patient=Patient/p1", 400, ""),
        ("Patient/$export?_type=Practitioner", 400, "_type"),
        ("Patient/$export?_type=Patient,StructureMap,Bundle", 400, "_type"),
        ("Group/nobody/$export", 404, ""),
        ("Observation/$export", 404, ""),
        ("Patient/p1/$export", 404, ""),
        ("Group/$export", 404, ""),
    ],
)
def test_what_is_refused(shared: Researcher, path: str, code: int, at: str) -> None:
    answer = shared.kick(path)
    assert answer.status_code == code, answer.text
    assert refusal(answer).get("expression", [""]) == [at] or not at


@pytest.mark.parametrize(
    ("path", "pairs", "at"),
    [
        ("$export", [("patient", {"reference": "Patient/p1"})], "patient"),
        ("Patient/$export", [("patient", {"reference": "Patient/nobody"})], "patient"),
        ("Patient/$export", [("patient", {"reference": "Group/g1"})], "patient"),
        ("Group/g1/$export", [("patient", {"reference": "Patient/p3"})], "patient"),
    ],
)
def test_patients_that_are_refused(shared: Researcher, path: str, pairs: Any, at: str) -> None:
    answer = shared.kick(path, parameters(*pairs))
    assert answer.status_code == 400, answer.text
    assert refusal(answer)["expression"] == [at]


def test_an_export_needs_both_headers(filled: Researcher) -> None:
    for method, body in (("GET", None), ("POST", parameters())):
        for headers in ({"accept": "application/fhir+json"}, {"prefer": "respond-async", "accept": ""}):
            answer = filled(method, "$export", body, headers=headers)
            assert answer.status_code == 400
            refusal(answer)
        assert (
            filled(method, "$export?_type=Basic", body, headers={"prefer": "respond-async"}).status_code == 202
        )  # */*


def test_some_patients_only(filled: Researcher) -> None:
    one = ("patient", {"reference": "Patient/p1"})
    of_p1 = {"Patient": {"p1"}, "Observation": {"o1"}, "Practitioner": {"d1"}, "Provenance": {"v1", "v2"}}
    assert filled.exported("Patient/$export", parameters(one)) == of_p1
    assert filled.exported("Group/g1/$export", parameters(one)) == of_p1
    two = parameters(one, ("patient", {"reference": f"{BASE}/Patient/p3"}), ("_type", "Observation"))
    assert filled.exported("Patient/$export", two) == {"Observation": {"o1", "o3"}}


def test_what_is_about_the_exported(filled: Researcher) -> None:
    assert filled.exported("Group/g1/$export?_type=Observation") == {"Observation": {"o1", "o2"}}
    path = "Group/g1/$export?_type=Observation&includeAssociatedData="
    assert filled.exported(path + "RelevantProvenanceResources")["Provenance"] == {"v1", "v2"}
    assert filled.exported(path + "LatestProvenanceResources")["Provenance"] == {"v2"}
    assert filled.exported("$export?_type=Patient,Provenance&includeAssociatedData=LatestProvenanceResources") == {
        "Patient": {"p1", "p2", "p3"}
    }
    assert filled.exported("$export?_type=Observation&includeAssociatedData=LatestProvenanceResources") == {
        "Observation": {"o1", "o2", "o3"}, "Provenance": {"v2", "v3"},
    }  # fmt: skip


def test_filters_of_one_type_add_up(filled: Researcher) -> None:
    both = "_typeFilter=Observation%3Fstatus%3Dpreliminary&_typeFilter=Observation%3Fsubject%3DPatient/p1"
    assert filled.exported(f"$export?_type=Observation,Patient&{both}") == {
        "Observation": {"o1", "o2"}, "Patient": {"p1", "p2", "p3"},
    }  # fmt: skip
    together = "_typeFilter=Observation?status=preliminary,Patient?_id=p1,p2"
    assert filled.exported(f"$export?_type=Observation,Patient&{together}") == {
        "Observation": {"o2"}, "Patient": {"p1", "p2"},
    }  # fmt: skip
    encoded = "_typeFilter=Observation%3Fstatus%3Dpreliminary%252Camended,Patient%3F_id%3Dp1%252Cp2"
    assert filled.exported(f"$export?_type=Observation,Patient&{encoded}") == {
        "Observation": {"o2"}, "Patient": {"p1", "p2"},
    }  # fmt: skip
    chained = "_typeFilter=Observation?subject:Patient.gender=female%26status=final"
    assert filled.exported(f"$export?_type=Observation&{chained}") == {"Observation": {"o1", "o3"}}


def test_elements_and_the_tag(filled: Researcher) -> None:
    rows = filled.lines(filled.manifest("$export?_type=Patient,Observation&_elements=Patient.gender,status"))
    for row in rows:
        expected = {"gender"} if row["resourceType"] == "Patient" else {"status", "code"}
        assert row.keys() == {"resourceType", "id", "meta", *expected}
        assert [tag["code"] for tag in row["meta"]["tag"]] == ["SUBSETTED"]


def test_a_lenient_client_is_told_what_was_ignored(filled: Researcher) -> None:
    lenient = {"prefer": "respond-async, handling=lenient"}
    path = "$export?_type=Patient&nonsense=1&_typeFilter=Patient%3Fstatus%3Dactive&organizeOutputBy=Encounter"
    manifest = filled.manifest(path, headers=lenient)
    assert len(filled.lines(manifest)) == 3
    told = filled.lines(manifest, "error")
    assert [one["issue"][0]["expression"] for one in told] == [["nonsense"], ["organizeOutputBy"], ["_typeFilter"]]
    assert filled.manifest("Patient/$export?_type=Practitioner", headers=lenient)["output"] == []
