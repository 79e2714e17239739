"""The list of operations, its documents, and what is refused alike for all of them. https://hl7.org/fhir/R4/operations.html"""

import json
from pathlib import Path

import pytest

from fhir_server.operations.table import OPERATIONS, OURS
from tests.client import Client, refusal

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_operation_has_its_page(operation: object) -> None:
    name = getattr(operation, "name")  # noqa: B009
    page = ROOT / "docs" / "operations" / f"{name.partition('-')[0]}.md"
    assert page.exists()
    assert f"${name}" in page.read_text()


@pytest.mark.parametrize("url", [one.definition for one in OPERATIONS if one.definition.startswith(OURS)])
def test_our_own_operations_are_defined_as_they_are(url: str) -> None:
    (row,) = (one for one in OPERATIONS if one.definition == url)
    read = (
        json.loads(path.read_text()) for path in (ROOT / "profiles/participation").glob("OperationDefinition-*.json")
    )
    definition = next(one for one in read if one["url"] == url)
    assert (definition["url"], definition["code"]) == (row.definition, row.name)
    assert tuple(level for level in ("system", "type", "instance") if definition[level]) == row.levels
    assert definition["affectsState"] == row.affects
    inputs = {parameter["name"] for parameter in definition["parameter"] if parameter["use"] == "in"}
    if row.takes is not None:  # what reads its own input, as a manifest, is defined by its own page
        assert inputs == set(row.takes)


def test_every_operation_is_claimed_where_it_is(client: Client) -> None:
    rest = client("GET", "metadata").json()["rest"][0]
    by_type = {one["type"]: {op["name"]: op["definition"] for op in one["operation"]} for one in rest["resource"]}
    for operation in OPERATIONS:
        for type in (
            () if operation.levels in (("system",), ("system", "view")) else operation.types or ("Patient", "Basic")
        ):
            assert by_type[type][operation.name] == operation.definition
            assert by_type[type][operation.alias or operation.name] == operation.definition
    assert "everything" not in by_type["Observation"]
    assert [one["name"] for one in rest["operation"]] == [one.name for one in OPERATIONS if "system" in one.levels]


def test_wrong_addresses_methods_and_types(client: Client) -> None:
    cases = {
        ("GET", "$nothing"): (404, "not-supported"),
        ("GET", "Patient/$nothing"): (404, "not-supported"),
        ("GET", "Patient/1/$nothing"): (404, "not-supported"),
        ("GET", "$everything"): (400, "not-supported"),
        ("POST", "Patient/1/$match"): (400, "not-supported"),
        ("GET", "Observation/$everything"): (404, "not-supported"),
        ("POST", "CodeSystem/$find-matches"): (404, "not-supported"),
        ("GET", "Patient/$validate-code"): (404, "not-supported"),
        ("GET", "Nothing/$meta"): (404, "not-supported"),
        ("DELETE", "Patient/$everything"): (405, "not-supported"),
        ("GET", "Patient/1/$meta-add"): (405, "not-supported"),
        ("GET", "Patient/1/$expunge"): (405, "not-supported"),
    }
    for (method, path), (status, code) in cases.items():
        answer = client(method, path)
        assert (answer.status_code, refusal(answer)["code"]) == (status, code), path


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Patient"},
        {"resourceType": "Parameters", "parameter": {}},
        {"resourceType": "Parameters", "parameter": [1]},
        {"resourceType": "Parameters", "parameter": [{"name": "_count"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "_count", "valueInteger": 0}]},
        {"resourceType": "Parameters", "parameter": [{"name": "_count", "valueInteger": -1}]},
        {"resourceType": "Parameters", "parameter": [{"name": "_count", "valueInteger": 1, "valueString": "1"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "_count", "valuePeriod": {"start": "2020"}}]},
        {"resourceType": "Parameters", "parameter": [{"name": "_since", "valueInstant": "2020-99-01"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "_type", "valueString": "Nothing"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "unknown", "valueString": "x"}]},
        {
            "resourceType": "Parameters",
            "parameter": [{"name": "start", "valueDate": "2020"}, {"name": "start", "valueDate": "2021"}],
        },
    ],
)
def test_bad_parameters_are_told(client: Client, body: object) -> None:
    client("PUT", "Patient/1", {"resourceType": "Patient", "id": "1"})
    answer = client("POST", "Patient/1/$everything", body)
    assert answer.status_code == 400, answer.text
    refusal(answer)


def test_operations_are_entries_of_a_batch_and_reading_ones_of_a_transaction(client: Client) -> None:
    client("PUT", "Patient/1", {"resourceType": "Patient", "id": "1", "meta": {"tag": [{"code": "t"}]}})
    get = {"request": {"method": "GET", "url": "Patient/1/$meta"}}
    post = {"request": {"method": "POST", "url": "Patient/$validate"}, "resource": {"resourceType": "Patient"}}
    batch = client("POST", "", {"resourceType": "Bundle", "type": "batch", "entry": [get, post]}).json()["entry"]
    assert [one["response"]["status"] for one in batch] == ["200", "200"]
    assert batch[0]["resource"]["parameter"][0]["valueMeta"]["tag"] == [{"code": "t"}]
    assert batch[1]["resource"]["resourceType"] == "OperationOutcome"
    whole = {"resourceType": "Bundle", "type": "transaction", "entry": [get]}
    assert client("POST", "", whole).json()["entry"][0]["resource"]["resourceType"] == "Parameters"
    refused = client("POST", "", {**whole, "entry": [get, post]})
    assert (refused.status_code, refusal(refused)["expression"]) == (400, ["Bundle.entry[1]"])


@pytest.mark.parametrize("path", ["Observation/$viewdefinition-run", "$lastn"])
def test_an_operation_asked_elsewhere_tells_where_it_is(client: Client, path: str) -> None:
    answer = client("GET", path)
    assert answer.status_code == 400
    assert f"{path.rpartition('/')[2]} is not called here, but at [base]/" in answer.json()["issue"][0]["diagnostics"]
