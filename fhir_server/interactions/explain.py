"""`_explain=true` on a search: its predicate and the store's plan instead of its results. Operators only.
https://hl7.org/fhir/R4/search.html"""

import time
from typing import Any

from fhir_server.access import Caller
from fhir_server.fhir import codec
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Answer
from fhir_server.search.predicate import Chain, Has, Is, Not, Of, Or, Predicate, Sort
from fhir_server.server import Server
from fhir_server.store.seam import Query

PARAMETER = "_explain"
_COSTS = ("totalKeysExamined", "totalDocsExamined")  # where MongoDB says how much it looked at


async def explained(server: Server, caller: Caller, query: Query) -> Answer:
    """Parameters: types, predicate and order in words, the store's plan, rows and time of one page.

    Raises FhirError 403 unless the caller is an operator: a predicate shows the permit, a plan how much there is.
    """
    if not caller.operator:
        raise refuse(403, "forbidden", f"{PARAMETER} is for operators of this server only.")
    plan = await server.store.explain(query)
    began = time.perf_counter()
    page = await server.store.search(query)
    milliseconds = (time.perf_counter() - began) * 1000
    said: list[dict[str, Any]] = [
        {"name": "types", "valueString": ", ".join(query.types) or "all"},
        {"name": "predicate", "valueString": in_words(query.where)},
        {"name": "sort", "valueString": ", ".join(map(_order, query.sort)) or "order of creation"},
        {"name": "plan", "valueString": codec.encode(plan).decode()},
        *({"name": name, "valueInteger": value} for name, value in _costs(plan)),
        {"name": "rows", "valueInteger": len(page.rows)},
        {"name": "milliseconds", "valueDecimal": round(milliseconds, 3)},
    ]
    return Answer(200, codec.encode({"resourceType": "Parameters", "parameter": said}))


def in_words(where: Predicate) -> str:
    """A predicate as text: `code[system = 's' and code = 'x'] and not (status[code = 'final'])`."""
    match where:
        case Is(param, tests):
            inner = " and ".join(f"{field} {operator} {value!r}" for field, operator, value in tests)
            return f"{param.code}[{inner}]" if tests else f"{param.code} present"
        case Chain(param, type, inside):
            return f"{param.code} -> {type}({in_words(inside)})"
        case Has(type, param, inside):
            return f"{type}({in_words(inside)}) refers here by {param.code}"
        case Not(part):
            return f"not ({in_words(part)})"
        case Of(types, part):
            return f"({'/'.join(types)} with {in_words(part)})"
        case Or(parts):
            return "(" + " or ".join(map(in_words, parts)) + ")" if parts else "nothing"
    return " and ".join(map(in_words, where.parts)) if where.parts else "everything"


def _order(sort: Sort) -> str:
    return f"{sort.param.code} {'descending' if sort.descending else 'ascending'}"


def _costs(plan: Any) -> list[tuple[str, int]]:
    """What the store counted while it ran, at whatever depth it says so."""
    found: dict[str, int] = {}
    stack = [plan]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            found.update({name: node[name] for name in _COSTS if isinstance(node.get(name), int) and name not in found})
            stack += [value for value in node.values() if isinstance(value, (dict, list))]
        elif isinstance(node, list):
            stack += node
    return sorted(found.items())
