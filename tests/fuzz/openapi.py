"""What can be said of this server in OpenAPI: the operations with typed parameters, and the authorization server.

The rest of FHIR's surface, `/[type]/[id]` and a search language of its own, it cannot describe: requests.py does.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from fhir_server.operations.inputs import COMPLEX
from fhir_server.operations.table import OPERATIONS, PATHS, Operation
from tests.fuzz.bodies import WORLD

TEXT = {"type": "string"}
OF_KIND: Mapping[str, Any] = {
    "string": TEXT,
    "boolean": {"type": "boolean"},
    "count": {"type": "integer", "minimum": 1, "maximum": 1000},
    "offset": {"type": "integer", "minimum": 0, "maximum": 1000},
    "date": {"type": "string", "format": "date"},
    "period": {"type": "string", "format": "date"},
    "reference": {"type": "string", "pattern": "^[A-Z][a-z]{2,9}/[a-z0-9]{1,9}$"},
    "codes": TEXT,
    "pairs": TEXT,
}
HELD = {"resource": "resource", "part": "part", "Meta": "valueMeta", "object": "valueCoding"}  # where a value stands
FORMS: Mapping[str, Mapping[str, Any]] = {
    "/auth/token": {
        "grant_type": {"enum": ["authorization_code", "client_credentials", "refresh_token"]},
        "code": TEXT,
        "redirect_uri": {"type": "string", "format": "uri"},
        "code_verifier": TEXT,
        "refresh_token": TEXT,
        "scope": TEXT,
        "client_id": TEXT,
        "client_assertion": TEXT,
        "client_assertion_type": {"enum": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]},
    },
    "/auth/introspect": {"token": TEXT, "client_id": TEXT, "client_assertion": TEXT},
    "/auth/revoke": {"token": TEXT, "client_id": TEXT, "token_type_hint": {"enum": ["access_token", "refresh_token"]}},
}
REGISTERED = {
    "client_name": TEXT,
    "redirect_uris": {"type": "array", "items": {"type": "string", "format": "uri"}},
    "grant_types": {"type": "array", "items": {"enum": ["authorization_code", "refresh_token", "client_credentials"]}},
    "scope": TEXT,
    "jwks_uri": {"type": "string", "format": "uri"},
    "jwks": {"type": "object"},
    "token_endpoint_auth_method": {"enum": ["none", "private_key_jwt", "client_secret_basic"]},
}
AUTHORIZED = ("response_type", "client_id", "redirect_uri", "scope", "state", "aud", "launch", "code_challenge")


def operations() -> dict[str, Any]:
    """An OpenAPI 3.1 document of every operation that takes named parameters, at each of its levels."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        if operation.takes is not None and not operation.alone:
            for path, placed in _paths(operation):
                for method, found in _methods(operation, operation.takes).items():
                    paths.setdefault(path, {})[method] = found | {"parameters": found.get("parameters", []) + placed}
    return _document(paths)


def authorization() -> dict[str, Any]:
    """An OpenAPI 3.1 document of the endpoints that clients call."""
    form = "application/x-www-form-urlencoded"
    paths: dict[str, Any] = {
        path: {"post": {"requestBody": _body(form, {"type": "object", "properties": dict(takes)}), "responses": {}}}
        for path, takes in FORMS.items()
    }
    registered = {"type": "object", "properties": REGISTERED}
    paths["/auth/register"] = {"post": {"requestBody": _body("application/json", registered), "responses": {}}}
    asked = [{"name": name, "in": "query", "schema": TEXT} for name in AUTHORIZED]
    paths["/auth/authorize"] = {"get": {"parameters": asked, "responses": {}}}
    return _document(paths)


def _document(paths: Mapping[str, Any]) -> dict[str, Any]:
    return {"openapi": "3.1.0", "info": {"title": "fhir-server", "version": "0"}, "paths": dict(paths)}


def _paths(operation: Operation) -> Iterator[tuple[str, list[Any]]]:
    """Where an operation is, with the parameters of the address; of one for all types two stand for all."""
    for type in operation.types or ("Patient", "Observation"):
        for level in operation.levels:
            path = PATHS[level].replace("[type]", type).replace("[id]", "{id}")
            ids = [one["id"] for one in WORLD if one["resourceType"] == type and operation.name != "expunge"]
            id = {"name": "id", "in": "path", "required": True, "schema": {"enum": ids[:3] or ["nobody"]}}
            yield f"/fhir/{path}${operation.name}", [id] if "{id}" in path else []


def _methods(operation: Operation, takes: Mapping[str, str]) -> dict[str, Any]:
    query = [
        {"name": name, "in": "query", "schema": OF_KIND[kind.removesuffix("*")]}
        for name, kind in takes.items()
        if kind.removesuffix("*") not in COMPLEX and name != "*"
    ]
    found: dict[str, Any] = {
        "post": {"requestBody": _body("application/fhir+json", _parameters(takes)), "responses": {}}
    }
    if not operation.affects:
        found["get"] = {"parameters": query, "responses": {}}
    return found


def _parameters(takes: Mapping[str, str]) -> dict[str, Any]:
    """The schema of a Parameters resource with these."""
    one = [_parameter(name, kind.removesuffix("*")) for name, kind in takes.items() if name != "*"]
    listed = {"type": "array", "items": {"anyOf": one} if one else {"type": "object"}, "maxItems": 6}
    return {
        "type": "object",
        "required": ["resourceType"],
        "properties": {"resourceType": {"const": "Parameters"}, "parameter": listed},
        "additionalProperties": False,
    }


def _parameter(name: str, kind: str) -> dict[str, Any]:
    held = HELD.get(kind, "valueString")
    schema = {"type": "array", "items": {"type": "object"}} if kind == "part" else {"type": "object"}
    return {
        "type": "object",
        "required": ["name", held],
        "properties": {"name": {"const": name}, held: schema if kind in COMPLEX else OF_KIND[kind]},
    }


def _body(mime: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {mime: {"schema": schema}}}
