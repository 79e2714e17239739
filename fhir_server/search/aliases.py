"""Parameters that are searched but not indexed, because others already say it. https://hl7.org/fhir/R4/searchparameter-registry.html

Every index entry is paid for at each write, so a parameter whose entries would repeat those of others has none: the
parser asks the others instead.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from fhir_server.fhir.definitions import Definitions, SearchParam


class Alias(NamedTuple):
    """What stands in for a parameter: any of these codes of the same type; for references, only to `type` ("": all)."""

    codes: tuple[str, ...]
    type: str = ""


# Observation's combo parameters look at the observation and its components; both are indexed under their own names.
LITERAL: Mapping[tuple[str, str], Alias] = {
    ("Observation", "combo-code"): Alias(("code", "component-code")),
    ("Observation", "combo-value-quantity"): Alias(("value-quantity", "component-value-quantity")),
    ("Observation", "combo-value-concept"): Alias(("value-concept", "component-value-concept")),
    ("Observation", "combo-data-absent-reason"): Alias(("data-absent-reason", "component-data-absent-reason")),
    ("Observation", "combo-code-value-quantity"): Alias(("code-value-quantity", "component-code-value-quantity")),
    ("Observation", "combo-code-value-concept"): Alias(("code-value-concept", "component-code-value-concept")),
}

R4 = "http://hl7.org/fhir/SearchParameter/"  # what the URLs of R4's own parameters begin with
_REFERS = re.compile(r"\.where\(resolve\(\) is (\w+)\)$")
_known: dict[tuple[int, str], tuple[Definitions, Mapping[str, Alias]]] = {}


def aliases(definitions: Definitions, type: str) -> Mapping[str, Alias]:
    """The aliased parameters of a resource type: the literal ones, then those whose expression is that of another
    parameter of the same kind, for references also when only `.where(resolve() is T)` is added to it."""
    key = (id(definitions), type)
    if key not in _known:
        _known[key] = definitions, _derive(type, definitions.search[type])
    return _known[key][1]


def _derive(type: str, params: Mapping[str, SearchParam]) -> Mapping[str, Alias]:
    found = {code: alias for (owner, code), alias in LITERAL.items() if owner == type and code in params}
    first: dict[tuple[str, str], str] = {}  # (kind, expression) -> the parameter that is indexed
    for code, param in sorted(params.items(), key=lambda item: (not item[1].url.startswith(R4), item[0])):
        if code in found or not param.expression or param.components or _REFERS.search(param.expression):
            continue
        # A custom parameter stands in for none: it comes and goes, and what is indexed would have to change with it.
        meaning = (param.kind, param.expression)
        original = first.setdefault(meaning, code) if param.url.startswith(R4) else first.get(meaning, code)
        # Bundle's `composition` and `message` have one expression, but only their target types tell them apart.
        if original != code and params[original].target == param.target:
            found[code] = Alias((original,))
    for code, param in params.items():
        refers = _REFERS.search(param.expression)
        original = first.get((param.kind, _REFERS.sub("", param.expression)), code)
        if refers and code not in found and original != code:
            found[code] = Alias((original,), refers[1])
    return found
