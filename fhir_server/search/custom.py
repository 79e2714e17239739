"""SearchParameter resources made ready to search by. https://hl7.org/fhir/R4/searchparameter.html"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.definitions import Component, Definitions, SearchParam
from fhir_server.fhir.outcome import FhirError, Issue
from fhir_server.fhir.paths import evaluator, routes
from fhir_server.search.composites import composite_actions
from fhir_server.search.entries import values
from fhir_server.search.index import kind_of, param_of

KINDS = ("number", "date", "string", "token", "reference", "composite", "quantity", "uri")
LONGEST = 2000  # characters of an expression
WITHOUT_DOMAIN = ("Bundle", "Binary", "Parameters")  # types that are no DomainResource
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9\-_]{0,63}", re.ASCII)


def check(definitions: Definitions, resource: Resource) -> None:
    """Raise FhirError 422 unless an active SearchParameter could be searched by; any other is a draft of one."""
    if resource.get("status") == "active":
        parameters(definitions, resource)


def parameters(definitions: Definitions, resource: Resource) -> tuple[SearchParam, ...]:
    """A valid SearchParameter resource as definitions, one for each of its types; none where R4 has the same already.

    Raises FhirError 422 that says what is wrong, where.
    """
    code, kind, expression = resource["code"], resource["type"], resource.get("expression", "")
    if not _CODE.fullmatch(code):
        raise _wrong("code", f"{code[:60]!r} cannot be asked for: letters, digits, - and _, the first a letter.")
    if kind not in KINDS:
        raise _wrong("type", f"Parameters of type {kind!r} are not supported, only {', '.join(KINDS)}.")
    if not expression or len(expression) > LONGEST:
        raise _wrong("expression", f"It needs a FHIRPath expression of at most {LONGEST} characters.")
    found: list[SearchParam] = []
    for type in dict.fromkeys(type for base in resource["base"] for type in _types(definitions, base)):
        own = branches(expression, type, resource["base"])
        if not own:
            raise _wrong("expression", f"No branch of it begins with {type}, one of its bases.")
        targets = frozenset(resource.get("target", ())) & definitions.resources if kind == "reference" else frozenset()
        parts = _components(definitions, type, resource) if kind == "composite" else ()
        made = SearchParam(type, code, kind, own, targets, parts, resource["url"])
        existing = definitions.search[type].get(code)
        if existing is not None and (existing.url == made.url or (existing.kind, existing.expression) == (kind, own)):
            continue
        if existing is not None:
            raise _wrong("code", f"{type} already has a search parameter {code!r}, {existing.url}.")
        _compile(definitions, made)
        found.append(made)
    return tuple(found)


def extended(definitions: Definitions, added: Iterable[SearchParam]) -> Definitions:
    """The definitions with more search parameters."""
    search = {type: dict(params) for type, params in definitions.search.items()}
    for param in added:
        search[param.type].setdefault(param.code, param)
    return replace(definitions, search=search)


def branches(expression: str, type: str, bases: Iterable[str]) -> str:
    """The branches of a union that begin at `type`, or at Resource or DomainResource where that is a base."""
    roots = "|".join((type, *(base for base in bases if base in ("Resource", "DomainResource"))))
    parts, depth, quoted = [""], 0, False
    for sign in expression:
        quoted ^= sign == "'"
        depth += 0 if quoted else (sign == "(") - (sign == ")")
        if sign == "|" and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += sign
    return " | ".join(part.strip() for part in parts if re.match(rf"[(\s]*({roots})\b", part))


def _types(definitions: Definitions, base: str) -> Iterator[str]:
    if base in definitions.resources:
        yield base
    elif base in ("Resource", "DomainResource"):
        for type in sorted(definitions.resources):
            if base == "Resource" or type not in WITHOUT_DOMAIN:
                yield type
    else:
        raise _wrong("base", f"R4 has no resource type {base[:60]!r}.")


def _components(definitions: Definitions, type: str, resource: Resource) -> tuple[Component, ...]:
    by_url: Mapping[str, SearchParam] = {param.url: param for param in definitions.search[type].values()}
    found = []
    for number, part in enumerate(resource.get("component", ())):
        param = by_url.get(part["definition"].partition("|")[0])
        if param is None:
            raise _wrong(f"component[{number}].definition", f"{type} has no search parameter {part['definition']}.")
        found.append(Component(param.code, param.kind, part["expression"]))
    shape = "$".join(part.kind for part in found)
    shapes = {kind_of(param) for params in definitions.search.values() for param in params.values() if param.components}
    if shape not in shapes:
        text = f"A composite of {shape or 'nothing'} is not supported, only of {', '.join(sorted(shapes))}."
        raise _wrong("component", text)
    return tuple(found)


def _compile(definitions: Definitions, param: SearchParam) -> None:
    """Raise FhirError 422 unless the expression can be evaluated and leads to something that is searched so."""
    try:
        if param.components:
            list(composite_actions(param, param_of(param.code, kind_of(param)), definitions, ""))
            return
        try:
            found = routes(param.expression, param.type, definitions)
        except ValueError:
            evaluator(param.expression)
            return
    except ValueError as error:
        raise _wrong("expression", f"{error}"[:300]) from None
    if all(values(param.kind, route.type, route.element, "") is None for route in found):
        kinds = ", ".join(sorted({route.type for route in found}))
        raise _wrong("type", f"{param.expression} is of type {kinds[:200]}, which is not searched as a {param.kind}.")


def _wrong(element: str, text: str) -> FhirError:
    return FhirError(422, (Issue("business-rule", text, (f"SearchParameter.{element}",)),))
