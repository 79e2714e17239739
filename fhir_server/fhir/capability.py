"""What the server can do, computed from its tables and definitions. https://hl7.org/fhir/R4/capabilitystatement.html"""

from collections.abc import Mapping, Sequence, Set
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.definitions import Definitions

RELEASED = "2026-11-23"
INSTANCE = ("read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type")
COMMON = ("_id", "_lastUpdated", "_profile", "_security", "_source", "_tag")  # parameters of all types
NONE: Mapping[str, str] = {}
# Who saw what stays as it was written, for everyone. https://hl7.org/fhir/R4/auditevent.html
IMMUTABLE = frozenset({"AuditEvent"})
# What a person denied stays denied until they say otherwise: a Consent ends by a newer one, or by its status.
LASTING = frozenset({"Consent"})
CHANGES = frozenset({"update", "patch", "delete"})
SYSTEM = ("transaction", "batch", "search-system", "history-system")


class Claim(NamedTuple):
    """An operation: its name, the canonical of its definition, its types (none: all) and levels."""

    name: str
    definition: str
    types: tuple[str, ...]
    levels: tuple[str, ...]  # system, type, instance


def capability_statement(
    definitions: Definitions,
    interactions: Set[str],
    base: str,
    operations: Sequence[Claim] = (),
    oauth: Mapping[str, str] = NONE,
) -> Resource:
    """The CapabilityStatement for the interactions performed, the same for all resource types, and the operations;
    `oauth` says where SMART's endpoints are, empty if everyone is let in."""
    if "transaction" in interactions:
        interactions = interactions | {"batch"}
    instance = [{"code": code} for code in INSTANCE if code in interactions]
    revincludes = _revincludes(definitions)
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": RELEASED,
        "kind": "instance",
        "software": {"name": "fhir-server", "version": software_version()},
        "instantiates": ["http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"],
        "implementation": {"description": "FHIR server of a cancer-research participation network", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml", "text/html", "json", "xml", "html"],
        "patchFormat": ["application/json-patch+json", "application/fhir+json", "application/fhir+xml"],
        "rest": [
            {
                "mode": "server",
                **({"security": _security(oauth)} if oauth else {}),
                "resource": [
                    _resource(definitions, type_, instance, revincludes[type_], operations)
                    for type_ in sorted(definitions.resources)
                ],
                "interaction": [{"code": code} for code in SYSTEM if code in interactions],
                "searchParam": _search_params(definitions, COMMON)
                + [_special(definitions, "Parameters", name, kind) for name, kind in SPECIAL],
                "operation": [
                    {"name": one.name, "definition": one.definition} for one in operations if "system" in one.levels
                ],
                "compartment": [
                    f"http://hl7.org/fhir/CompartmentDefinition/{name.lower()}" for name in definitions.compartments
                ],
            }
        ],
    }


def _security(oauth: Mapping[str, str]) -> Any:
    """Where SMART's endpoints are, for clients that look here. https://hl7.org/fhir/smart-app-launch/conformance.html"""
    service = {"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "SMART-on-FHIR"}
    return {
        "extension": [
            {
                "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
                "extension": [{"url": name, "valueUri": url} for name, url in oauth.items()],
            }
        ],
        "cors": True,
        "service": [{"coding": [service], "text": "OAuth2 using the SMART on FHIR profile"}],
    }


def software_version() -> str:
    """The version of the installed package; "0" in a tree that was never installed."""
    try:
        return version("fhir-server")
    except PackageNotFoundError:
        return "0"


def _resource(
    definitions: Definitions,
    type: str,
    interactions: list[dict[str, str]],
    revincludes: list[str],
    operations: Sequence[Claim],
) -> Any:
    fixed, lasting = type in IMMUTABLE, type in IMMUTABLE | LASTING
    found = {
        "type": type,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{type}",
        "interaction": [
            one
            for one in interactions
            if not (fixed and one["code"] in CHANGES) and not (lasting and one["code"] == "delete")
        ],
        "versioning": "versioned",
        "readHistory": True,
        "updateCreate": not fixed,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": not fixed,
        "conditionalDelete": "not-supported" if lasting else "single",
        "referencePolicy": ["literal", "logical"],
        "searchInclude": [
            f"{type}:{param.code}" for param in _searchable(definitions, type) if param.kind == "reference"
        ],
        "searchRevInclude": revincludes,
        "searchParam": _search_params(definitions, [param.code for param in _searchable(definitions, type)], type)
        + [_special(definitions, type, name, kind) for name, kind in SPECIAL],
        "operation": [
            {"name": one.name, "definition": one.definition}
            for one in operations
            if (not one.types or type in one.types) and one.levels != ("system",)
        ],
    }
    return {key: value for key, value in found.items() if value != []}


# Parameters of all types that no expression defines: name and type; R4 has a definition for some of them.
SPECIAL = (("_content", "string"), ("_filter", "special"), ("_list", "special"), ("_text", "string"))


def _searchable(definitions: Definitions, type: str) -> list[Any]:
    return [param for _, param in sorted(definitions.search[type].items()) if param.expression]


def _search_params(definitions: Definitions, codes: Any, type: str = "Patient") -> list[dict[str, str]]:
    found = (definitions.search[type][code] for code in codes)
    return [{"name": param.code, "definition": param.url, "type": param.kind} for param in found]


def _special(definitions: Definitions, type: str, name: str, kind: str) -> dict[str, str]:
    known = definitions.search[type].get(name)
    return {"name": name, **({"definition": known.url} if known else {}), "type": kind}


def _revincludes(definitions: Definitions) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {type: [] for type in definitions.resources}
    for type in sorted(definitions.resources):
        for param in _searchable(definitions, type):
            if param.kind == "reference":
                for target in param.target & definitions.resources:
                    found[target].append(f"{type}:{param.code}")
    return found
