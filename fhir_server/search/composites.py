"""Entries of composite parameters: values that stand in one element together. https://hl7.org/fhir/R4/search.html#composite"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from fhir_server.fhir.definitions import Definitions, SearchParam
from fhir_server.fhir.paths import Route, Step, routes
from fhir_server.search.entries import Values, values
from fhir_server.search.find import Find, finder, union
from fhir_server.search.predicate import Entry, Param

Action = Callable[[Any, Any], None]  # the second is a list of entries


def composite_actions(
    param: SearchParam, name: Param, definitions: Definitions, base: str, units: Mapping[str, Values] | None = None
) -> Iterator[tuple[tuple[Step, ...], Action]]:
    """What to do, and at the end of which steps from the resource, to make the entries `name` of a composite;
    `units` says how quantities are made where not as usual."""
    for place in routes(param.expression, param.type, definitions):
        parts: list[tuple[bool, Find]] = []
        for component in param.components:
            found = routes(component.expression, place.type, definitions)
            made = [(route, _values(component.kind, route, base, units)) for route in found]
            finds = [finder(route.steps, make) for route, make in made if make is not None]
            parts.append((any(route.rooted for route in found), union(finds)))
        if any(rooted for rooted, _ in parts):
            yield (), _across(name, finder(place.steps, lambda value: ((value,),)), parts)
        elif len(parts) == 2:
            yield place.steps, _pair(name, parts[0][1], parts[1][1])
        else:
            yield place.steps, _several(name, [find for _, find in parts])


def _values(kind: str, route: Route, base: str, units: Mapping[str, Values] | None) -> Values | None:
    if units is not None and kind == "quantity":
        return units.get(route.type)
    return values(kind, route.type, route.element, base)


def _pair(param: Param, first: Find, second: Find) -> Action:
    prefix = (param,)

    def emit(value: Any, out: list[Entry]) -> None:
        # The second component is the value and most often absent: then the code need not be looked at.
        seconds = second(value)
        if seconds:
            for one in first(value):
                for two in seconds:
                    out.append(prefix + one + two)

    return emit


def _several(param: Param, parts: Sequence[Find]) -> Action:
    def emit(value: Any, out: list[Entry]) -> None:
        for combination in product(*[find(value) for find in parts]):
            out.append(sum(combination, (param,)))

    return emit


def _across(param: Param, places: Find, parts: Sequence[tuple[bool, Find]]) -> Action:
    """For composites that also look at %resource: `parts` says of each component whether it does."""

    def emit(resource: Any, out: list[Entry]) -> None:
        for (place,) in places(resource):
            for combination in product(*[find(resource if rooted else place) for rooted, find in parts]):
                out.append(sum(combination, (param,)))

    return emit
