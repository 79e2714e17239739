"""Required bindings of code, Coding and CodeableConcept. https://hl7.org/fhir/R4/terminologies.html#required"""

from typing import Any

from fhir_server.fhir.definitions import Binding
from fhir_server.validation.primitives import check_code
from fhir_server.validation.problem import Check, Found, Problem, Scope, shown

_SHOWN = 12  # codes that a message lists


def bound(binding: Binding, type: str, check: Check) -> Check:
    """`check` for an element of this type, and then membership in the binding's value set."""
    if binding.codes is None:
        return check
    if type == "code":
        return _code(binding.codes, binding)
    within = _coding if type == "Coding" else _concept

    def check_bound(value: Any, scope: Scope) -> Found:
        return check(value, scope) or (None if within(value, binding) else _outside(binding, value))

    return check_bound


def _code(codes: frozenset[str], binding: Binding) -> Check:
    def check(value: Any, scope: Scope) -> Found:
        if type(value) is str and value in codes:
            return None
        return check_code(value, scope) or _outside(binding, value)

    return check


def _coding(coding: Any, binding: Binding) -> bool:
    return bool(binding.systems.get(coding.get("code")) == coding.get("system", ""))


def _concept(concept: Any, binding: Binding) -> bool:
    return any(_coding(coding, binding) for coding in concept.get("coding", ()))


def _outside(binding: Binding, value: Any) -> list[Problem]:
    codes = sorted(binding.systems)
    some = ", ".join(codes[:_SHOWN]) + (", ..." if len(codes) > _SHOWN else "")
    of = f" of {binding.system}" if binding.system and not isinstance(value, str) else ""
    had = f"{shown(value)} is not one" if isinstance(value, str) else "no coding is one"
    return [Problem("code-invalid", f"must be a code{of} in {binding.valueset} ({some}): {had} of them.")]
