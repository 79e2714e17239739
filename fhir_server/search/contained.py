"""Contained resources as results: `_contained`, `_containedType`. https://hl7.org/fhir/R4/search.html#contained

What is contained is indexed with what contains it, each entry under a parameter that names the inner type:
`Medication#code` of a MedicationRequest. Of several contained resources of one type such entries do not tell which is
which: what the store finds are candidates, and `found_in` tests each contained resource by itself.
"""

from collections.abc import Callable, Iterator
from functools import cache

from fhir_server.fhir.codec import Resource
from fhir_server.search.predicate import (
    EVERYTHING,
    ID,
    And,
    Entry,
    Indexed,
    Is,
    Not,
    Or,
    Param,
    Predicate,
    Test,
    matches,
)

HOLDS = Param("#", "token")  # the types (as codes) of what a resource contains
Index = Callable[[Resource], tuple[Entry, ...]]


def contained(resource: Resource) -> Iterator[Resource]:
    """The resources that a resource contains."""
    held = resource.get("contained", ())
    return (one for one in held if isinstance(one, dict) and isinstance(one.get("resourceType"), str))


def entries(resource: Resource, index: Index) -> Iterator[Entry]:
    """The entries that tell what a resource contains."""
    for one in contained(resource):
        type = one["resourceType"]
        yield HOLDS, "", type
        yield _within(type, ID), "", str(one.get("id", ""))
        for entry in index(one):
            yield (_within(type, entry[0]), *entry[1:])


@cache
def _within(type: str, param: Param) -> Param:
    return Param(f"{type}#{param.code}", "token" if param.kind == "id" else param.kind)


def holders(where: Predicate, types: tuple[str, ...]) -> Predicate:
    """What every resource meets that contains one of `types` that meets `where`."""
    return Or(
        tuple(And((Is(HOLDS, (("system", "=", ""), ("code", "=", type))), _holder(where, type))) for type in types)
    )


def _holder(where: Predicate, type: str) -> Predicate:
    match where:
        case And(parts):
            return And(tuple(_holder(part, type) for part in parts))
        case Or(parts):
            return Or(tuple(_holder(part, type) for part in parts))
        case Is(param, tests) if param.kind == "id":
            return Or(tuple(Is(_within(type, param), one) for one in _codes(tests)))
        case Is(param, tests) if param.kind != "updated":
            return Is(_within(type, param), tests)
        case Not():
            return EVERYTHING  # of what it contains another may meet it
    return where


def _codes(tests: tuple[Test, ...]) -> Iterator[tuple[Test, ...]]:
    for _, operator, value in tests:
        for id in [one for (one,) in value] if operator == "in" else [value]:
            yield (("system", "=", ""), ("code", "=", id))


def found_in(
    resource: Resource, updated: int, where: Predicate, types: tuple[str, ...], index: Index
) -> list[Resource]:
    """Which of the resources it contains are of one of `types` and meet `where`, which looks at no other resources."""
    return [
        one
        for one in contained(resource)
        if one["resourceType"] in types
        and matches(where, Indexed(one["resourceType"], str(one.get("id", "")), updated, index(one)), {})
    ]
