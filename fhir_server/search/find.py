"""From one JSON value to the index fields of what lies under it, by the steps of a route or by fhirpathpy."""

from collections.abc import Callable, Sequence
from typing import Any

from fhir_server.fhir.paths import At, Holds, Key, Refers, Step, Where, evaluator
from fhir_server.search.entries import Fields, Values, type_of, values

Find = Callable[[Any], Sequence[Fields]]


def finder(steps: tuple[Step, ...], make: Values) -> Find:
    """A function that follows the steps from one value and makes fields of what it finds."""
    if len(steps) == 1 and isinstance(steps[0], Key):
        return _property(steps[0].name, make)

    def find(value: Any) -> Sequence[Fields]:
        found = [value]
        for step in steps:
            found = _follow(step, found)
        return [fields for item in found for fields in make(item)]

    return find


def _property(key: str, make: Values) -> Find:
    def find(value: Any) -> Sequence[Fields]:
        inner = value.get(key)
        if inner is None:
            return ()
        if type(inner) is list:
            return [fields for item in inner if item is not None for fields in make(item)]
        return make(inner)

    return find


def union(finds: Sequence[Find]) -> Find:
    """All that any of them finds."""
    if len(finds) == 1:
        return finds[0]
    return lambda value: [fields for find in finds for fields in find(value)]


def keeps(step: Step) -> Callable[[Any], bool]:
    """The test of a filtering step."""
    match step:
        case Where(key, wanted) if "." in key:
            keys = key.split(".")
            return lambda value: _some(value, keys, wanted)
        case Where(key, wanted):
            return lambda value: bool(value.get(key) == wanted)
        case Refers(wanted):
            return lambda value: _refers(value, wanted)
    raise ValueError(f"{step} is no filter")


def _some(value: Any, keys: list[str], wanted: str) -> bool:
    found = [value]
    for key in keys:
        inner = [one[key] for one in found if isinstance(one, dict) and key in one]
        found = [item for one in inner for item in (one if isinstance(one, list) else (one,))]
    return wanted in found


def _refers(reference: Any, type: str) -> bool:
    parts = reference.get("reference", "").partition("/_history/")[0].split("/")
    return reference.get("type") == type or (len(parts) > 1 and parts[-2] == type)


def _follow(step: Step, found: list[Any]) -> list[Any]:
    match step:
        case Key(name):
            inner = [value[name] for value in found if name in value]
            flat = [item for value in inner for item in (value if isinstance(value, list) else (value,))]
            return [item for item in flat if item is not None]
        case At(position):
            return found[position : position + 1]
        case Holds(keys):
            return [any(value.get(key) not in (None, False) for key in keys) for value in found]
    test = keeps(step)
    return [value for value in found if test(value)]


def evaluated(kind: str, expression: str, base: str) -> Find:
    """For an expression that the compiler refuses: found by fhirpathpy, typed by its looks."""
    evaluate = evaluator(expression)

    def find(resource: Any) -> Sequence[Fields]:
        found: list[Fields] = []
        for value in evaluate(resource):
            make = values(kind, type_of(kind, value), None, base)
            found += make(value) if make else ()
        return found

    return find
