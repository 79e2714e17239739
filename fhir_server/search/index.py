"""From a resource to its index entries. https://hl7.org/fhir/R4/search.html

The expressions of all parameters of a resource type are merged into one tree of JSON keys, so that a resource is
walked once, by the keys that it has: 40 to 60 µs for a variant Observation of a dozen components, 5 to 25 for what
Synthea writes (2 cores of a small cloud machine, Python 3.11). fhirpathpy takes 500 to 1000 for the same expressions.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.definitions import Definitions, SearchParam
from fhir_server.fhir.paths import Key, Refers, Step, Where, routes
from fhir_server.search.aliases import aliases
from fhir_server.search.composites import composite_actions
from fhir_server.search.contained import entries as contained_entries
from fhir_server.search.entries import Values, to_float, values
from fhir_server.search.extras import EXTRAS, UNITS, texts
from fhir_server.search.find import Find, evaluated, finder, keeps
from fhir_server.search.genomic import entries as genomic_entries
from fhir_server.search.predicate import Entry, Param
from fhir_server.search.words import entry as words_entry
from fhir_server.search.words import line

# Binary.securityContext, which no search parameter of R4 names: whose Binary it is (access/rights.py).
SECURITY_CONTEXT = Param("securityContext", "reference")
# ResearchStudy.enrollment and the Groups that a Group's criteria name: whom a change of a Group concerns (matching).
ENROLLMENT, CRITERIA = Param("enrollment", "reference"), Param("criteria", "reference")
LATITUDE, LONGITUDE = Param("near:latitude", "number"), Param("near:longitude", "number")


class Out(list[Entry]):
    """The entries made so far, and the lines of text for the one entry that holds them all (words.py)."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        self.lines: list[str] = []


Action = Callable[[Any, Out], None]  # one JSON value in, its entries appended

param_of = cache(Param)  # one object per (code, kind): entries share it


def kind_of(param: SearchParam) -> str:
    """The kind of a parameter's entries; a composite's joins those of its components."""
    return "$".join(part.kind for part in param.components) if param.components else param.kind


def indexer(definitions: Definitions, base: str) -> Callable[[Resource], tuple[Entry, ...]]:
    """A function from a valid resource to its distinct index entries; `base` is the URL of this server.

    `_id`, `_lastUpdated` and aliases (aliases.py) make none. What a modifier asks beyond a parameter's own entries is
    indexed under a pseudo-parameter, only where there is something (extras.py, words.py), and so is what is contained
    (contained.py). A type is compiled at its
    first use.
    """
    plans: dict[str, Action] = {}

    def index(resource: Resource) -> tuple[Entry, ...]:
        own = _own(resource)
        if "contained" not in resource:
            return own
        return tuple(dict.fromkeys((*own, *contained_entries(resource, _own))))

    def _own(resource: Resource) -> tuple[Entry, ...]:
        type = resource["resourceType"]
        plan = plans.get(type)
        if plan is None:
            plan = plans[type] = _plan(type, definitions, base)
        out = Out()
        plan(resource, out)
        words = words_entry(resource, out.lines)
        if words is not None:
            out.append(words)
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
    context = values("reference", "Reference", None, base)
    if type == "Binary" and context is not None:
        root.at((Key("securityContext"),)).actions.append(_entries(SECURITY_CONTEXT, context))
    if type == "Observation":
        root.actions.append(_genomic)
    if type == "ResearchStudy" and context is not None:
        root.at((Key("enrollment"),)).actions.append(_entries(ENROLLMENT, context))
    if type == "Group" and context is not None:
        root.at((Key("characteristic"), Key("valueReference"))).actions.append(_entries(CRITERIA, context))
    for code, param in definitions.search[type].items():
        if code in ("_id", "_lastUpdated") or not param.expression:
            continue
        if code in skipped:
            if skipped[code].type:  # who is meant by an identifier alone, its own type says
                _add_extras(root, param, definitions)
            continue
        if code == "near":
            root.at((Key("position"),)).actions.append(_position)
        if param.kind == "special":
            continue
        if param.components:
            name = param_of(code, kind_of(param))
            found = list(composite_actions(param, name, definitions, base))
            if any(part.kind == "quantity" for part in param.components):
                name = param_of(f"{code}:ucum", name.kind)
                found += composite_actions(param, name, definitions, base, UNITS)
            for steps, action in found:
                root.at(steps).actions.append(action)
        else:
            _add(root, param, definitions, base)
            _add_extras(root, param, definitions)
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
        _place(root, route.steps, partial(_entries, name), make)


def _add_extras(root: _Node, param: SearchParam, definitions: Definitions) -> None:
    """What the modifiers of a parameter need: entries of pseudo-parameters, and lines of text."""
    try:
        found = routes(param.expression, param.type, definitions)
    except ValueError:
        return
    for route in found:
        for ending, kind, table in EXTRAS.get(param.kind, ()):
            if route.type in table:
                name = param_of(f"{param.code}:{ending}", kind)
                _place(root, route.steps, partial(_entries, name), table[route.type])
        told = texts(route.type) if param.kind == "token" else None
        if told is not None:
            _place(root, route.steps, partial(_lines, param.code), told)


def _place(root: _Node, steps: tuple[Step, ...], action: Callable[[Any], Action], make: Values) -> None:
    """Put an action at the end of the steps, or at the root when some step looks at more than one value."""
    if all(isinstance(step, Key | Where | Refers) for step in steps):
        root.at(steps).actions.append(action(make))
    else:
        root.actions.append(action(finder(steps, make)))


def _lines(code: str, make: Values) -> Action:
    def emit(value: Any, out: Out) -> None:
        for (text,) in make(value):
            out.lines.append(line(code, text))

    return emit


def _genomic(value: Any, out: Out) -> None:
    """Alleles, places and names that the genomics operations search by."""
    out.extend(genomic_entries(value))


def _position(value: Any, out: Out) -> None:
    """Where a Location is, for `near`."""
    if "latitude" in value and "longitude" in value:
        for name, number in ((LATITUDE, value["latitude"]), (LONGITUDE, value["longitude"])):
            out.append((name, to_float(number), to_float(number)))


def _of_types(types: frozenset[str], make: Values) -> Values:
    """For a resource inside a Bundle: `composition` and `message` share an expression, not their targets."""
    return lambda value: make(value) if value.get("resourceType") in types else ()


def _entries(param: Param, make: Values | Find) -> Action:
    prefix = (param,)

    def emit(value: Any, out: Out) -> None:
        for fields in make(value):
            out.append(prefix + fields)

    return emit
