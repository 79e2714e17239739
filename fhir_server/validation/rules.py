"""Rules of single types that no table expresses: Extension, contained resources. https://hl7.org/fhir/R4/references.html#contained"""

from typing import Any

from fhir_server.validation.problem import DEPTH, Check, Found, Problem, Scope


def guarded(check: Check) -> Check:
    """`check` for what may contain itself: refused when it does so more than 64 times, so that no stack runs out."""

    def check_guarded(value: Any, scope: Scope) -> Found:
        if scope.depth >= DEPTH:
            return [Problem("too-long", f"is nested more than {DEPTH} levels deep.")]
        scope.depth += 1
        found = check(value, scope)
        scope.depth -= 1
        return found

    return check_guarded


def extension(value: Any, _: Scope) -> Found:
    """An Extension has a value or extensions, not both. https://hl7.org/fhir/R4/extensibility.html#Extension (ext-1)"""
    valued = any(key.startswith(("value", "_value")) for key in value)
    if valued != ("extension" in value):
        return None
    return [Problem("invariant", "must have either a value[x] or extensions, not both and not neither (ext-1).")]


def contained(value: Any, _: Scope) -> Found:
    """A contained resource contains none, and has neither version nor security labels (dom-2, dom-4, dom-5)."""
    found = []
    if "contained" in value:
        found.append(Problem("invariant", "must not contain resources itself (dom-2).", ".contained"))
    meta = value.get("meta")
    for name, rule in (("versionId", "dom-4"), ("lastUpdated", "dom-4"), ("security", "dom-5")):
        if isinstance(meta, dict) and name in meta:
            found.append(Problem("invariant", f"must not be given for a contained resource ({rule}).", f".meta.{name}"))
    return found or None


def container(value: Any, _: Scope) -> Found:
    """The ids of contained resources differ. https://hl7.org/fhir/R4/resource.html#id"""
    if "contained" not in value or type(value["contained"]) is not list:
        return None
    ids = [one["id"] for one in value["contained"] if isinstance(one, dict) and isinstance(one.get("id"), str)]
    if len(ids) == len(set(ids)):
        return None
    return [Problem("invariant", "must have different ids: a reference such as #id would name two.", ".contained")]
