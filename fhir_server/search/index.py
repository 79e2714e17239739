"""From a resource to its index entries. https://hl7.org/fhir/R4/search.html

The expressions of all parameters of a resource type are merged into one tree of JSON keys, so that a resource is
walked once, by the keys that it has: 40 to 60 µs for a variant Observation of a dozen components, 5 to 25 for what
Synthea writes (2 cores of a small cloud machine, Python 3.11). fhirpathpy takes 500 to 1000 for the same expressions.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.definitions import Definitions, SearchParam
from fhir_server.fhir.paths import Key, Refers, Step, Where, routes
from fhir_server.search.aliases import aliases
from fhir_server.search.composites import composite_actions
from fhir_server.search.entries import Values, values
from fhir_server.search.find import Find, evaluated, finder, keeps
from fhir_server.search.predicate import Entry, Param

Out = list[Entry]
Action = Callable[[Any, Out], None]  # one JSON value in, its entries appended

param_of = cache(Param)  # one object per (code, kind): entries share it


def kind_of(param: SearchParam) -> str:
    """The kind of a parameter's entries; a composite's joins those of its components."""
    return "$".join(part.kind for part in param.components) if param.components else param.kind


def indexer(definitions: Definitions, base: str) -> Callable[[Resource], tuple[Entry, ...]]:
    """A function from a valid resource to its distinct index entries; `base` is the URL of this server.

    `_id`, `_lastUpdated`, special parameters and aliases (aliases.py) make none. A type is compiled at its first use.
    """
    plans: dict[str, Action] = {}

    def index(resource: Resource) -> tuple[Entry, ...]:
        type = resource["resourceType"]
        plan = plans.get(type)
        if plan is None:
            plan = plans[type] = _plan(type, definitions, base)
        out: Out = []
        plan(resource, out)
        return tuple(dict.fromkeys(out))

    return index


class _Node:
    """A place in the tree of keys: what to do with a value found there, and where to go on."""

    def __init__(self) -> None:
        self.actions: list[Action] = []
        self.keys: dict[str, _Node] = {}
        self.filtered: list[tuple[Callable[[Any], bool], _Node]] = []

    def at(self, steps: tuple[Step, ...]) -> "_Node":
        node = self
        for step in steps:
            if isinstance(step, Key):
                node = node.keys.setdefault(step.name, _Node())
            else:
                node.filtered.append((keeps(step), child := _Node()))
                node = child
        return node

    def compile(self) -> Action:
        """The function that visits a value here."""
        actions = list(self.actions)
        actions += [_guarded(test, node.compile()) for test, node in self.filtered]
        if self.keys:
            actions.append(_descend({key: node.compile() for key, node in self.keys.items()}))
        if len(actions) == 1:
            return actions[0]

        def visit(value: Any, out: Out) -> None:
            for action in actions:
                action(value, out)

        return visit


def _descend(children: Mapping[str, Action]) -> Action:
    find = children.get

    def visit(value: Any, out: Out) -> None:
        for key, inner in value.items():
            child = find(key)
            if child is not None:
                if type(inner) is list:
                    for item in inner:
                        if item is not None:
                            child(item, out)
                else:
                    child(inner, out)

    return visit


def _guarded(test: Callable[[Any], bool], action: Action) -> Action:
    def visit(value: Any, out: Out) -> None:
        if test(value):
            action(value, out)

    return visit


def _plan(type: str, definitions: Definitions, base: str) -> Action:
    root = _Node()
    skipped = aliases(definitions, type)
    for code, param in definitions.search[type].items():
        if code in skipped or code in ("_id", "_lastUpdated") or param.kind == "special" or not param.expression:
            continue
        if param.components:
            name = param_of(code, kind_of(param))
            for steps, action in composite_actions(param, name, definitions, base):
                root.at(steps).actions.append(action)
        else:
            _add(root, param, definitions, base)
    return root.compile() if root.keys or root.actions else _nothing


def _nothing(value: Any, out: Out) -> None:
    return None


def _add(root: _Node, param: SearchParam, definitions: Definitions, base: str) -> None:
    name = param_of(param.code, param.kind)
    try:
        found = routes(param.expression, param.type, definitions)
    except ValueError:
        root.actions.append(_entries(name, evaluated(param.kind, param.expression, base)))
        return
    for route in found:
        make = values(param.kind, route.type, route.element, base)
        if make is None:
            continue
        if route.type == "Resource":
            make = _of_types(param.target, make)
        if all(isinstance(step, Key | Where | Refers) for step in route.steps):
            root.at(route.steps).actions.append(_entries(name, make))
        else:
            root.actions.append(_entries(name, finder(route.steps, make)))


def _of_types(types: frozenset[str], make: Values) -> Values:
    """For a resource inside a Bundle: `composition` and `message` share an expression, not their targets."""
    return lambda value: make(value) if value.get("resourceType") in types else ()


def _entries(param: Param, make: Values | Find) -> Action:
    prefix = (param,)

    def emit(value: Any, out: Out) -> None:
        for fields in make(value):
            out.append(prefix + fields)

    return emit
