"""What a Reference may point at. https://hl7.org/fhir/R4/references.html#literal"""

import re
from collections.abc import Iterable
from typing import Any

from fhir_server.validation.problem import Check, Found, Problem, Scope, shown

_id = re.compile(r"[A-Za-z0-9\-.]{1,64}").fullmatch
_absolute = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:").match
_restful = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?").fullmatch
_CORE = "http://hl7.org/fhir/StructureDefinition/"


def reference(targets: tuple[str, ...], resources: frozenset[str], check: Check) -> Check:
    """`check` for a Reference, and then whether it points at one of the types `targets` (none given: at any)."""
    allowed = frozenset(targets) or resources

    def check_reference(value: Any, scope: Scope) -> Found:
        if found := check(value, scope):
            return found
        if "type" in value and (found := _typed(value["type"], allowed, resources)):
            return found
        literal = value.get("reference")
        if literal is None:
            return None
        type, _, id = literal.partition("/")
        if type in allowed and _id(id):
            return None
        return _literal(literal, scope, allowed, resources)

    return check_reference


def _literal(literal: str, scope: Scope, allowed: frozenset[str], resources: frozenset[str]) -> Found:
    if literal[0] == "#":
        # "#" alone is the resource that holds the contained one (https://hl7.org/fhir/R4/references.html#contained).
        type = scope.contained.get(literal[1:]) if literal != "#" else scope.root.get("resourceType")
        if type is None:
            return [Problem("not-found", f"refers to {shown(literal)}, which is not in `contained`.", ".reference")]
        # What is contained but no resource is reported where it stands.
        return None if type in allowed or type not in resources else _mistyped(literal, type, allowed)
    found = _restful(literal)
    if _absolute(literal):
        # Any URL may be referred to; only one that ends like a RESTful one of R4 tells its type.
        if found is None or found[1] not in resources:
            return None
        return None if found[1] in allowed else _mistyped(literal, found[1], allowed)
    # A reference such as Patient?identifier=x is conditional: a transaction replaces it by what it finds.
    type = found[1] if found and found.start(1) == 0 else literal.partition("?")[0] if "?" in literal else ""
    if type not in resources:
        wanted = "must be Type/id with a resource type of R4, an absolute URL, or #id of a contained resource"
        return [Problem("value", f"{wanted}, not {shown(literal)}.", ".reference")]
    return None if type in allowed else _mistyped(literal, type, allowed)


def _typed(type: str, allowed: Iterable[str], resources: frozenset[str]) -> Found:
    name = type.removeprefix(_CORE)
    if name in allowed or ("/" in name and _absolute(name)):  # an absolute URL names a logical model
        return None
    if name in resources:
        return [Problem("value", f"must be {_one_of(allowed)}, not {name}.", ".type")]
    return [Problem("value", f"must be a resource type of R4, not {shown(type)}.", ".type")]


def _mistyped(literal: str, type: str, allowed: Iterable[str]) -> Found:
    text = f"must refer to {_one_of(allowed)}, not to {type} ({shown(literal)})."
    return [Problem("value", text, ".reference")]


def _one_of(types: Iterable[str]) -> str:
    return " or ".join(sorted(types))
