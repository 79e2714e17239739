"""What belongs to a compartment, as a predicate. https://hl7.org/fhir/R4/compartmentdefinition.html"""

from typing import NamedTuple

from fhir_server.fhir.definitions import Definitions
from fhir_server.search.context import stand_ins
from fhir_server.search.index import param_of
from fhir_server.search.predicate import ID, And, Is, Not, Or, Predicate, of_types


def in_compartment(definitions: Definitions, compartment: str, id: str, type: str) -> Predicate | None:
    """Membership of resources of `type` in the compartment of `compartment`/`id`; None where the type never belongs.

    The resource that the compartment is named for belongs to it as well.
    """
    itself = (Is(ID, (("id", "=", id),)),) if type == compartment else ()
    found = (*itself, *_links(definitions, compartment, id, type))
    return Or(found) if found else None


class Members(NamedTuple):
    """All that belongs to a compartment: types, what makes their resources members, and the one it is named for."""

    types: tuple[str, ...]
    where: Predicate
    itself: Predicate | None


def all_in_compartment(definitions: Definitions, compartment: str, id: str, types: tuple[str, ...]) -> Members | None:
    """The members, of `types` if there are any, of the compartment of `compartment`/`id`; None if no type is left.

    The same parameter makes a member of one type and not of another: all that any of them names are looked up at once,
    and what is found is tested by its type. The resource that the compartment is named for is not among what `where`
    finds: it is found by another index, and no store reads two in one order.
    """
    if compartment not in definitions.compartments:
        return None
    itself = And((of_types((compartment,)), Is(ID, (("id", "=", id),))))
    by_rule: dict[tuple[Predicate, ...], list[str]] = {}
    for type in types or sorted({compartment, *definitions.compartments[compartment]}):
        rule = _links(definitions, compartment, id, type)
        if rule:
            by_rule.setdefault(rule, []).append(type)
    named = not types or compartment in types
    if not by_rule and not named:
        return None
    anyhow = Or(tuple(dict.fromkeys(one for rule in by_rule for one in rule)))
    exactly = Or(tuple(And((of_types(members), Or(rule))) for rule, members in by_rule.items()))
    # Not of Not is no condition that a store looks for an index of.
    where = And((anyhow, Not(Not(exactly)), Not(itself)))
    found = tuple(dict.fromkeys(type for members in by_rule.values() for type in members))
    return Members(found or (compartment,), where, itself if named else None)


def _links(definitions: Definitions, compartment: str, id: str, type: str) -> tuple[Predicate, ...]:
    """The references by which a resource of a type becomes a member: one suffices."""
    found: list[Predicate] = []
    for code in definitions.compartments.get(compartment, {}).get(type, ()):
        if code == "_id":
            continue
        params, restricted = stand_ins(definitions, definitions.search[type][code])
        if restricted in ("", compartment):
            tests = (("type", "=", compartment), ("id", "=", id))
            found += [Is(param_of(param.code, "reference"), tests) for param in params]
    return tuple(dict.fromkeys(found))
