"""$viewdefinition-run over HTTP: formats, filters, rights. https://sql-on-fhir.org/ig/OperationDefinition-ViewDefinitionRun.html"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pyarrow.parquet
import pytest

from fhir_server.settings import Settings
from tests.auth.door import BASE
from tests.client import refusal
from tests.export.conftest import Researcher, group, observation, patient, settings
from tests.export.rights_test import Registry

RUN = "ViewDefinition/$viewdefinition-run"
PEOPLE = {
    "resourceType": "ViewDefinition", "name": "people", "resource": "Patient",
    "select": [{"column": [
        {"name": "id", "path": "getResourceKey()", "type": "string"},
        {"name": "sex", "path": "gender", "type": "code"},
        {"name": "born", "path": "birthDate", "type": "date", "tag": [{"name": "ansi/type", "value": "DATE"}]},
        {"name": "active", "path": "active", "type": "boolean"},
        {"name": "names", "path": "name.family", "type": "string", "collection": True},
    ]}],
}  # fmt: skip
VALUES = {
    "resourceType": "ViewDefinition", "name": "amounts", "resource": "Observation",
    "select": [{"column": [
        {"name": "id", "path": "getResourceKey()", "type": "string"},
        {"name": "patient", "path": "subject.getReferenceKey(Patient)", "type": "string"},
        {"name": "amount", "path": "value.ofType(Quantity).value", "type": "decimal"},
        {"name": "parts", "path": "component.count()", "type": "integer"},
    ]}],
}  # fmt: skip


@pytest.fixture
def filled(client: Researcher) -> Researcher:
    """Three patients, each with an Observation, on each kind of store."""
    client.put(
        patient("p1", gender="female", birthDate="1970-01-02", name=[{"family": 'A "quoted"'}, {"family": "B"}]),
        patient("p2", active=True, birthDate="1980-05"),
        patient("p3"),
        *(observation(f"o{n}", f"p{n}") for n in (2, 3)),
        group("g1", "p1", "p3"),
    )
    body = json.dumps(observation("o1", "p1")).replace('"final"', '"final","valueQuantity":{"value":0.4720}')
    assert client("PUT", "Observation/o1", body).status_code == 201
    return client


@pytest.fixture
def client(store_url: str, tmp_path: Path) -> Iterator[Researcher]:
    """A client of an empty server, once for each kind of store."""
    opened = Researcher(settings(store_url, tmp_path))
    yield opened
    opened.close()


def rows(answer: httpx2.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def given(view: Any, *parameters: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": "viewResource", "resource": view}, *parameters]}


def test_the_view_as_the_body_and_as_a_parameter(filled: Researcher) -> None:
    answer = filled("POST", RUN, PEOPLE)
    assert answer.headers["content-type"] == "application/json"
    assert sorted(rows(answer), key=lambda row: row["id"]) == [
        {"id": "p1", "sex": "female", "born": "1970-01-02", "active": None, "names": ['A "quoted"', "B"]},
        {"id": "p2", "sex": None, "born": "1980-05", "active": True, "names": []},
        {"id": "p3", "sex": None, "born": None, "active": None, "names": []},
    ]
    for path in (RUN, "$viewdefinition-run"):
        assert rows(filled("POST", path, given(PEOPLE))) == rows(answer)


def test_each_format(filled: Researcher) -> None:
    plain = sorted(rows(filled("POST", RUN, VALUES)), key=lambda row: row["id"])
    answer = filled("POST", f"{RUN}?_format=csv", VALUES)
    assert answer.headers["content-type"].startswith("text/csv")
    table = list(csv.DictReader(io.StringIO(answer.text)))
    assert {row["id"]: row["amount"] for row in table} == {"o1": "0.4720", "o2": "", "o3": ""}  # digits stay
    bare = filled("POST", f"{RUN}?header=false", VALUES, headers={"accept": "text/csv"}).text
    assert answer.text == f"id,patient,amount,parts\r\n{bare}"
    answer = filled("POST", RUN, given(VALUES, {"name": "_format", "valueCode": "ndjson"}))
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert b'"amount":0.4720' in answer.content
    assert sorted(map(json.loads, answer.text.splitlines()), key=lambda row: row["id"]) == plain
    answer = filled("POST", f"{RUN}?_format=parquet", VALUES)
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    held = pyarrow.parquet.read_table(io.BytesIO(answer.content))
    assert [str(field.type) for field in held.schema] == ["string", "string", "double", "int64"]
    assert sorted(held.to_pylist(), key=lambda row: row["id"]) == plain
    held = pyarrow.parquet.read_table(io.BytesIO(filled("POST", f"{RUN}?_format=parquet", PEOPLE).content))
    born = {row["id"]: str(row["born"]) for row in held.to_pylist()}
    assert born == {"p1": "1970-01-02", "p2": "1980-05-01", "p3": "None"}
    nobody = {**PEOPLE, "where": [{"path": "id = 'nobody'"}]}
    assert rows(filled("POST", RUN, nobody)) == []
    assert filled("POST", f"{RUN}?_format=csv", nobody).text == "id,sex,born,active,names\r\n"
    empty = io.BytesIO(filled("POST", f"{RUN}?_format=parquet", nobody).content)
    assert pyarrow.parquet.read_table(empty).num_rows == 0


def test_whom_and_how_much(filled: Researcher) -> None:
    def ids(query: str) -> list[str]:
        return sorted(row["id"] for row in rows(filled("POST", f"{RUN}?{query}", VALUES)))

    assert ids("patient=Patient/p1") == ["o1"]
    assert ids("patient=p2") == ["o2"]
    assert ids("group=Group/g1") == ["o1", "o3"]
    assert ids("group=g1&patient=p3") == ["o3"]
    assert ids("group=g1&patient=p2") == []
    assert len(ids("_limit=2")) == 2
    stamp = filled("GET", "Observation/o2").json()["meta"]["lastUpdated"]
    filled.put(observation("o3", "p3", status="amended"))
    assert ids(f"_since={stamp}".replace("+", "%2B")) in (["o3"], ["o1", "o3"])  # o1 was written after o2
    assert ids("_since=2999-01-01") == []
    both = observation("o4", "p1", focus=[{"reference": "Patient/p3"}])
    filled.put(both)
    assert ids("group=g1") == ["o1", "o3", "o4"]


def test_resources_that_come_with_the_request(filled: Researcher) -> None:
    resources = [{"name": "resource", "resource": patient(f"x{n}", active=True)} for n in range(3)]
    other = {"name": "resource", "resource": observation("x", "x1")}
    assert [row["id"] for row in rows(filled("POST", RUN, given(PEOPLE, *resources, other)))] == ["x0", "x1", "x2"]
    wrong = {"name": "resource", "resource": {"resourceType": "Patient", "name": "Alder"}}
    answer = filled("POST", RUN, given(PEOPLE, wrong))
    assert (answer.status_code, refusal(answer)["code"]) == (422, "processing")


@pytest.mark.parametrize(
    ("query", "body", "status", "code", "word"),
    [
        ("", given(PEOPLE, {"name": "source", "valueString": "s3://x"}), 400, "not-supported", "source"),
        ("", {"resourceType": "Parameters", "parameter": []}, 400, "required", "viewResource"),
        ("viewReference=ViewDefinition/1", None, 400, "not-supported", "viewResource"),
        ("_format=xml", PEOPLE, 400, "not-supported", "json, ndjson, csv, parquet"),
        ("other=1", PEOPLE, 400, "not-supported", "viewResource"),
        ("patient=nobody", PEOPLE, 404, "not-found", "Patient"),
        ("group=nobody", PEOPLE, 404, "not-found", "Group"),
        ("patient=Group/g1", PEOPLE, 400, "value", "Patient"),
        ("", {**PEOPLE, "resource": "Nothing"}, 422, "invalid", "resource type"),
        ("", {**PEOPLE, "select": [{"column": [{"name": "x", "path": "a("}]}]}, 422, "invalid", "ends too early"),
        ("", {**PEOPLE, "select": [{"column": [{"name": "x", "path": "name.family"}]}]}, 422, "processing", "2 values"),
        ("_format=parquet", {**PEOPLE, "select": [{"column": [{"name": "x", "path": "gender", "type": "integer"}]}]},
         422, "processing", "Column x"),
    ],
)  # fmt: skip
def test_refusals(shared: Researcher, query: str, body: Any, status: int, code: str, word: str) -> None:
    answer = shared("POST", f"{RUN}?{query}" if query else RUN, body)
    assert (answer.status_code, refusal(answer)["code"]) == (status, code), answer.text
    assert word in refusal(answer)["diagnostics"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Researcher]:
    """A client of one server for all refusals."""
    folder = tmp_path_factory.mktemp("views")
    opened = Researcher(settings(f"sqlite:///{folder / 'fhir.db'}", folder))
    opened.put(patient("p1", gender="female", name=[{"family": "A"}, {"family": "B"}]), group("g1", "p1"))
    yield opened
    opened.close()


def test_where_a_wrong_view_is_wrong(shared: Researcher) -> None:
    wrong = {**PEOPLE, "select": [{"column": [{"name": "x", "path": "id"}, {"name": "y", "path": "name.foo()"}]}]}
    answer = shared("POST", RUN, wrong)
    assert refusal(answer)["expression"] == ["ViewDefinition.select[0].column[1].path"]


def test_no_entry_of_a_bundle(shared: Researcher) -> None:
    """Its answer is no resource, and the audit trail could not tell whose data were in it."""
    entry = {"request": {"method": "POST", "url": RUN}, "resource": given(PEOPLE)}
    answer = shared("POST", "", {"resourceType": "Bundle", "type": "batch", "entry": [entry]})
    assert answer.json()["entry"][0]["response"]["status"] == "404"


def test_expressions_that_would_take_for_ever_are_refused_at_once(shared: Researcher) -> None:
    deep, long, wide = "(" * 5000 + "id" + ")" * 5000, "id" + ".first()" * 400, "id" + " | id" * 400
    nested = "name" + ".where(name" * 70 + ")" * 70
    for path in (deep[:3900], long, wide, nested):
        answer = shared("POST", RUN, {**PEOPLE, "select": [{"column": [{"name": "x", "path": path}]}]})
        assert answer.status_code == 422, path[:40]
    each = [{"forEach": "name", "column": [{"name": f"c{n}", "path": "family"}]} for n in range(18)]
    answer = shared("POST", RUN, {**PEOPLE, "select": each})  # two names: a quarter of a million rows
    assert answer.status_code == 422
    assert "100,000 rows" in refusal(answer)["diagnostics"]


def test_what_a_view_makes_is_bounded(shared: Researcher) -> None:
    doubled = "id" + ".select($this & $this)" * 20
    squared = "multipleBirth.ofType(integer)" + ".select($this * $this)" * 12
    names = [{"given": ["x"] * 300}] * 300
    person = {"resourceType": "Patient", "id": "ab", "multipleBirthInteger": 7, "name": names}

    def asked(select: list[dict[str, Any]]) -> httpx2.Response:
        view = {"resourceType": "ViewDefinition", "resource": "Patient", "select": select}
        parameters = [{"name": "viewResource", "resource": view}, {"name": "resource", "resource": person}]
        return shared("POST", RUN, {"resourceType": "Parameters", "parameter": parameters})

    assert asked([{"column": [{"name": "a", "path": doubled}]}]).status_code == 422
    assert asked([{"column": [{"name": "a", "path": squared}]}]).json() == [{"a": None}], "overflow is empty"
    given = [{"forEach": "given", "column": [{"name": name, "path": "$this"}]} for name in "ab"]
    assert asked([{"forEach": "name", "select": given}]).status_code == 422


def test_as_many_rows_as_the_settings_allow(tmp_path: Path) -> None:
    opened = Researcher(settings(f"sqlite:///{tmp_path / 'fhir.db'}", tmp_path, view_rows=2))
    opened.put(*(patient(f"p{n}") for n in range(3)))
    answer = opened("POST", RUN, PEOPLE)
    assert (answer.status_code, refusal(answer)["code"]) == (422, "too-costly")
    assert len(rows(opened("POST", f"{RUN}?_limit=2", PEOPLE))) == 2
    opened.close()


@pytest.fixture
def registry(store_url: str, tmp_path: Path) -> Iterator[Registry]:
    """Two patients, an Organization; an EHR, a researcher, a service for one type."""
    opened = Registry(Settings(store=store_url, base_url=BASE, auth="smart", access_log=False, rate_limit=0))
    for id, role, scope in (("ehr", "ehr", "system/*.cruds"), ("scientist", "researcher", "system/*.rs"),
                            ("narrow", "ehr", "system/Patient.rs")):  # fmt: skip
        opened.backend(id, (scope,), role=role)
    ehr = opened.bearer("ehr", "system/*.cruds")
    made = [patient("p1", birthDate="1970-01-02", name=[{"family": "Alder"}]), patient("p2"),
            observation("o1", "p1", effectiveDateTime="2020-01-01"), observation("o2", "p2")]  # fmt: skip
    for one in made:
        assert opened("PUT", f"{one['resourceType']}/{one['id']}", one, headers=ehr).status_code == 201
    yield opened
    opened.close()


def consent(category: dict[str, Any], status: str = "active") -> dict[str, Any]:
    return {
        "resourceType": "Consent", "id": "c1", "status": status, "patient": {"reference": "Patient/p1"},
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "research"}]},
        "category": [{"coding": [category]}], "dateTime": "2026-01-01",
        "policy": [{"uri": "https://example.org/policy"}],
        "provision": {"type": "permit", "purpose": [
            {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}]},
    }  # fmt: skip


WHOLE = {"system": "http://loinc.org", "code": "59284-0"}
WITHOUT_IDENTITY = {"system": "http://terminology.hl7.org/CodeSystem/consentcategorycodes", "code": "rsdid"}


def test_scopes_and_consent_decide_as_in_an_export(registry: Registry) -> None:
    ehr, held = registry.bearer("ehr", "system/*.cruds"), registry.bearer("scientist", "system/*.rs")
    assert registry("POST", RUN, PEOPLE).status_code == 401
    narrow = registry.bearer("narrow", "system/Patient.rs")
    assert registry("POST", RUN, VALUES, headers=narrow).status_code == 403
    assert {row["id"] for row in rows(registry("POST", RUN, PEOPLE, headers=narrow))} == {"p1", "p2"}
    assert {row["id"] for row in rows(registry("POST", RUN, VALUES, headers=ehr))} == {"o1", "o2"}
    # A researcher sees nobody who did not permit it, not even by a filter.
    assert rows(registry("POST", RUN, PEOPLE, headers=held)) == []
    assert registry("POST", f"{RUN}?patient=p1", PEOPLE, headers=held).status_code == 404
    assert registry("PUT", "Consent/c1", consent(WHOLE), headers=ehr).status_code == 201
    assert [row["id"] for row in rows(registry("POST", RUN, PEOPLE, headers=held))] == ["p1"]
    assert [row["id"] for row in rows(registry("POST", RUN, VALUES, headers=held))] == ["o1"]
    assert [row["id"] for row in rows(registry("POST", f"{RUN}?patient=p1", VALUES, headers=held))] == ["o1"]
    assert registry("PUT", "Consent/c1", consent(WHOLE, "inactive"), headers=ehr).status_code == 200
    assert rows(registry("POST", RUN, PEOPLE, headers=held)) == []


def test_what_is_permitted_without_identity_only_is_seen_so_by_the_view(registry: Registry) -> None:
    ehr, held = registry.bearer("ehr", "system/*.cruds"), registry.bearer("scientist", "system/*.rs")
    assert registry("PUT", "Consent/c1", consent(WITHOUT_IDENTITY), headers=ehr).status_code == 201
    (person,) = rows(registry("POST", RUN, PEOPLE, headers=held))
    assert person["id"] != "p1"
    assert person["names"] == []
    assert person["born"] != "1970-01-02"
    (value,) = rows(registry("POST", RUN, VALUES, headers=held))
    assert value["id"] != "o1"
    assert value["patient"] == person["id"]  # the tables still join
    # What would tell who it is finds nothing: a condition on what is hidden, the patient, a time of change.
    named = {**PEOPLE, "where": [{"path": "id = 'p1' or name.where(family = 'Alder').exists()"}]}
    assert rows(registry("POST", RUN, named, headers=held)) == []
    assert rows(registry("POST", f"{RUN}?_since=2020-01-01", PEOPLE, headers=held)) == []
    assert registry("POST", f"{RUN}?patient=p1", PEOPLE, headers=held).status_code == 404


def test_what_else_is_not_there(client: Researcher) -> None:
    assert client("GET", RUN).status_code == 400
    assert client("DELETE", RUN).status_code == 405
    assert client("GET", "ViewDefinition/1").status_code == 404
