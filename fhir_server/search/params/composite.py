"""Composite search: the values of one element together, `a$b`. https://hl7.org/fhir/R4/search.html#composite"""

from itertools import chain, product

from fhir_server.fhir.definitions import SearchParam
from fhir_server.search.params import date, number, quantity, reference, string, token, uri
from fhir_server.search.params.value import Alternatives, Ask, bad, split

MODIFIERS: frozenset[str] = frozenset()

_KINDS = {
    "token": token.tests, "quantity": quantity.tests, "date": date.tests, "string": string.tests,
    "number": number.tests, "reference": reference.tests, "uri": uri.tests,
}  # fmt: skip


def tests(text: str, modifier: str, ask: Ask) -> Alternatives:
    """Every component by the rules of its own kind, all on one entry; their fields are numbered from 1."""
    components = ask.param.components
    parts = split(text, "$")
    if len(parts) != len(components) or not all(parts):
        raise bad(ask, text, "$".join(component.code for component in components))
    found = []
    for place, (part, component) in enumerate(zip(parts, components, strict=True), 1):
        param = SearchParam(ask.param.type, component.code, component.kind, "", frozenset(), (), ask.param.url)
        canonical = ask.canonical_only and component.kind == "quantity"
        inner = _KINDS[component.kind](part, "", ask._replace(param=param, canonical_only=canonical))
        if component.kind == "token" and not all(any(field == "code" for field, _, _ in one) for one in inner):
            raise bad(ask, text, f"a code for {component.code}: a system alone finds nothing in a composite")
        found.append([[(f"{place}.{field}", op, value) for field, op, value in tests] for tests in inner])
    return tuple(tuple(chain.from_iterable(combination)) for combination in product(*found))
