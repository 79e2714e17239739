"""Filters of value sets and text as conditions on the terms of a code system. https://hl7.org/fhir/R4/valueset-filter-operator.html"""

from collections.abc import Mapping
from typing import Any

from fhir_server.fhir.outcome import refuse
from fhir_server.store.terms import EVERY, AllOf, Among, AnyOf, Below, Condition, Keyed, No
from fhir_server.terminology.concepts import INACTIVE, has, parents, word, words
from fhir_server.terminology.source import Source
from fhir_server.terminology.system import System, concept_of, term

ACTIVE = No(Keyed(INACTIVE))
NONE = AnyOf(())
HIERARCHY = ("concept", "code")  # what `is-a` and its like are asked of


async def at_or_below(system: System, code: str) -> Condition:
    """The code and everything below it; of an unknown code, nothing."""
    top = await term(system, code)
    return NONE if top is None else AnyOf((Among((top.n,)), Below(top.n)))


async def at_or_above(system: System, code: str) -> Condition:
    """The code and everything above it."""
    found = await term(system, code)
    return NONE if found is None else Among((found.n, *found.above))


async def subsumed(source: Source, system: str, code: str) -> frozenset[str]:
    """The code and all that lie above it in its code system; of a code that is not known here, itself alone."""
    found = await source.system(system)
    one = await term(found, code) if found is not None else None
    if found is None or one is None or not one.above:
        return frozenset((code,))
    return frozenset((code, *await found.codes(Among(one.above), len(one.above))))


async def filtered(system: System, filters: tuple[Mapping[str, Any], ...]) -> Condition:
    """What meets all filters of a ValueSet.compose.include. Raises FhirError 400 for an operator that is not known."""
    found = [await _filtered(system, one["property"], one["op"], str(one["value"])) for one in filters]
    return AllOf(tuple(found)) if found else EVERY


async def _filtered(system: System, property: str, operator: str, value: str) -> Condition:
    match operator:
        case "is-a":
            return await at_or_below(system, value)
        case "descendent-of":
            top = await term(system, value)
            return NONE if top is None else Below(top.n)
        case "is-not-a":
            return No(await at_or_below(system, value))
        case "generalizes":
            return await at_or_above(system, value)
        case "=":
            return await _valued(system, property, (value,))
        case "in" | "not-in":
            listed = await _valued(system, property, tuple(part.strip() for part in value.split(",")))
            return listed if operator == "in" else No(listed)
        case "exists":
            there = EVERY if property in HIERARCHY else Keyed(has(property), prefix=True)
            return there if value == "true" else No(there)
    url = system.about["url"]
    raise refuse(400, "not-supported", f"A value set filters {url[:200]!r} by {operator!r}, which is not supported.")


async def _valued(system: System, property: str, values: tuple[str, ...]) -> Condition:
    if property in HIERARCHY:
        return Among(tuple(one.n for one in await system.find(values)))
    if property == "child":  # the concepts that have these right below them
        above = [code for one in await system.find(values) for code in parents(concept_of(one), system.named)]
        return Among(tuple(one.n for one in await system.find(above))) if above else NONE
    return AnyOf(tuple(Keyed(has(property, value)) for value in values))


def mentioning(text: str) -> Condition:
    """Terms with words that begin like each of the text's."""
    return AllOf(tuple(Keyed(word(one), prefix=True) for one in words(text)))
