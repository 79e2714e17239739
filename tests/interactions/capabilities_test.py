"""The CapabilityStatement, and that what it claims works. https://hl7.org/fhir/R4/capabilitystatement.html"""

from functools import cache
from typing import Any

import pytest
from fhir.resources.R4B.capabilitystatement import CapabilityStatement

from fhir_server.fhir.capability import capability_statement
from fhir_server.fhir.codec import encode
from fhir_server.fhir.definitions import load
from fhir_server.operations.table import claims
from fhir_server.rest.routes import INTERACTIONS
from tests.client import BASE, Client

MINIMAL: dict[str, dict[str, Any]] = {
    "Patient": {"gender": "female"},
    "Observation": {"status": "final", "code": {"text": "x"}},
    "ResearchStudy": {"status": "active"},
    "Basic": {"code": {"text": "x"}},
    "Group": {"type": "person", "actual": True},
}


@cache
def statement() -> dict[str, Any]:
    return capability_statement(load(), frozenset(row.name for row in INTERACTIONS), BASE, claims())


def test_another_implementation_reads_it(client: Client) -> None:
    answer = client("GET", "metadata")
    assert answer.status_code == 200
    read = CapabilityStatement.model_validate_json(answer.content)
    assert (read.kind, read.fhirVersion, read.implementation.url) == ("instance", "4.0.1", BASE)
    assert len(read.rest[0].resource) == 146
    assert answer.content == encode(statement())


def claimed(type: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in statement()["rest"][0]["resource"] if one["type"] == type)
    return found


@pytest.mark.parametrize("type", MINIMAL)
def test_every_interaction_claimed_works(client: Client, type: str) -> None:
    codes = {one["code"] for one in claimed(type)["interaction"]}
    body = {"resourceType": type, **MINIMAL[type]}
    id = client.create(body)
    patch = {"content-type": "application/json-patch+json"}
    tried = {
        "create": client("POST", type, body, headers={"if-none-exist": f"_id={id}"}),
        "update": client("PUT", f"{type}/{id}", {**body, "id": id}),
        "patch": client("PATCH", f"{type}/{id}", [{"op": "test", "path": "/id", "value": id}], headers=patch),
        "read": client("GET", f"{type}/{id}"),
        "vread": client("GET", f"{type}/{id}/_history/1"),
        "history-instance": client("GET", f"{type}/{id}/_history"),
        "history-type": client("GET", f"{type}/_history"),
        "search-type": client("GET", f"{type}?_id={id}"),
        "delete": client("DELETE", f"{type}/{id}"),
    }
    assert tried.keys() == codes
    assert {name: answer.status_code for name, answer in tried.items() if answer.status_code not in (200, 204)} == {}


@pytest.mark.parametrize("type", MINIMAL)
def test_every_search_parameter_and_include_claimed_is_accepted(client: Client, type: str) -> None:
    values = {
        "date": "2026",
        "number": "1",
        "quantity": "1",
        "uri": "urn:x",
        "reference": "Basic/1",
        "composite": "a$1",
        "_filter": "_id eq x",
    }
    refused = []
    for param in claimed(type)["searchParam"]:
        answer = client("GET", f"{type}?{param['name']}:missing=true" if param["type"] != "composite" else type)
        other = client("GET", type, params={param["name"]: values.get(param["name"], values.get(param["type"], "x"))})
        if answer.status_code != 200 and not param["name"].startswith("_"):
            refused.append((param["name"], answer.text))
        if other.status_code != 200 and param["type"] != "composite":
            refused.append((param["name"], other.text))
    for include in claimed(type).get("searchInclude", ()):
        if client("GET", f"{type}?_include={include}").status_code != 200:
            refused.append((include, "include"))
    for include in claimed(type).get("searchRevInclude", ()):
        if client("GET", f"{type}?_revinclude={include}").status_code != 200:
            refused.append((include, "revinclude"))
    assert refused == []


def test_every_system_interaction_claimed_works(client: Client) -> None:
    assert {one["code"] for one in statement()["rest"][0]["interaction"]} == {
        "transaction", "batch", "search-system", "history-system",
    }  # fmt: skip
    for type in ("batch", "transaction"):
        assert client("POST", "", {"resourceType": "Bundle", "type": type}).status_code == 200
    for path in ("", "_history"):
        assert client("GET", path).status_code == 200
