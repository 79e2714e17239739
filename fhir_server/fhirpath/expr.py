"""Compiled expressions: a function of a JSON value, and what is known of its result before it runs.

A result that can be one value only is that value, or None; the others are lists. Most paths of a view lead through
elements that do not repeat, and cost one look into a dict for each step. Lists may be those of the resource itself:
they are never changed.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fhir_server.fhir.definitions import Definitions, Element
from fhir_server.fhirpath.looked import Looked
from fhir_server.fhirpath.values import failed

# (the value that the expression is about, what stays the same within it: %rowIndex of a view, resources) -> result
Run = Callable[[Any, Any], Any]
NOTHING: list[Any] = []
# Types of which the values are also of another one. https://hl7.org/fhir/R4/datatypes.html
ABOVE: Mapping[str, str] = {
    **dict.fromkeys(("code", "id", "markdown"), "string"),
    **dict.fromkeys(("positiveInt", "unsignedInt"), "integer"),
    **dict.fromkeys(("url", "canonical", "oid", "uuid"), "uri"),
}


class Expr(NamedTuple):
    """`type` is that of each value, "" if unknown; `structure` is the key of what is inside it. `of` and `members`
    are set for an element with a choice of types: what it is an element of, and its properties by type in lower case.
    `beside` tells of a primitive element where it is: `_property` holds its extensions. `text`: a constant's."""

    run: Run
    many: bool
    type: str = ""
    structure: str = ""
    of: "Expr | None" = None
    members: Mapping[str, Element] = {}
    beside: "tuple[Expr, Element] | None" = None
    text: str | None = None


def itself(value: Any, at: int) -> Any:
    """What the expression is about."""
    return value


def focus(type: str, structure: str) -> Expr:
    """What an expression begins with."""
    return Expr(itself, False, type, structure)


def nothing(type: str = "") -> Expr:
    """What is not there."""
    return Expr(lambda value, at: None, False, type)


def constant(value: Any, type: str) -> Expr:
    """The same for every resource."""
    return Expr(lambda _, at: value, False, type, text=value if isinstance(value, str) else None)


def listed(expr: Expr) -> Run:
    """The result as a list, whatever it is."""
    if expr.many:
        return expr.run
    run = expr.run

    def one(value: Any, at: int) -> list[Any]:
        found = run(value, at)
        return NOTHING if found is None else [found]

    return one


def single(expr: Expr, what: str) -> Run:
    """The result as one value or None. The function raises FhirError 422 for more: `what` says whose it is."""
    if not expr.many:
        return expr.run
    run = expr.run

    def one(value: Any, at: int) -> Any:
        found = run(value, at)
        if len(found) > 1:
            raise failed(f"{what} has {len(found)} values where one is possible.")
        return found[0] if found else None

    return one


def child(looked: Looked, parent: Expr, name: str) -> Expr:
    """An element of what was found; nothing if its type has no such element."""
    definitions = looked.definitions
    if parent.of is not None or parent.structure in ("", "Resource", "DomainResource"):
        return nothing() if parent.type in definitions.primitives else _untyped(parent, name)
    shape = definitions.structures[parent.structure]
    if name in shape.elements:
        return property_of(looked, parent, shape.elements[name])
    if name in shape.choices:
        return _choice(parent, tuple(shape.elements[key] for key in shape.choices[name].members))
    return nothing()


def property_of(looked: Looked, parent: Expr, element: Element) -> Expr:
    """An element by its JSON property."""
    looked.at(parent.structure, element.name)
    primitive = element.structure is None
    run = _get(parent, element.name, element.many, primitive)
    beside = (parent, element) if primitive else None
    return Expr(run, parent.many or element.many, element.type, element.structure or "", None, {}, beside)


def _choice(parent: Expr, elements: tuple[Element, ...]) -> Expr:
    members = {element.type.lower(): element for element in elements}
    keys, of = tuple(element.name for element in elements), parent.run
    if parent.many:
        return Expr(
            lambda value, at: [one[key] for one in of(value, at) for key in keys if key in one],
            True, of=parent, members=members,
        )  # fmt: skip

    def first(value: Any, at: int) -> Any:
        one = of(value, at)
        return None if one is None else next((one[key] for key in keys if key in one), None)

    return Expr(first, False, of=parent, members=members)


def entire(looked: Looked, expr: Expr) -> Expr:
    """The same, of which everything inside is looked at, not what later steps name only."""
    if expr.of is not None:
        for element in expr.members.values():
            looked.at(expr.of.structure, element.name)
            looked.entire(element.structure or "")
    looked.entire(expr.structure)
    return expr


def extensions_of(looked: Looked, expr: Expr) -> Expr:
    """The extensions of what was found: of a primitive element they are in a property beside it."""
    if expr.beside is None:
        return child(looked, expr, "extension")
    parent, element = expr.beside
    looked.at(parent.structure, f"_{element.name}")
    run = _get(parent, f"_{element.name}", element.many, True)
    return child(looked, Expr(run, parent.many or element.many, "Element", "Element"), "extension")


def _get(parent: Expr, key: str, many: bool, primitive: bool) -> Run:
    of = parent.run
    if parent.many:
        if many:
            return lambda value, at: [
                item for one in of(value, at) for item in one.get(key, NOTHING) if item is not None
            ]
        return lambda value, at: [item for one in of(value, at) if (item := one.get(key)) is not None]
    if not many:
        if of is itself:
            return lambda value, at: value.get(key)
        return lambda value, at: None if (one := of(value, at)) is None else one.get(key)
    if primitive:  # with null where only an extension is

        def known(value: Any, at: int) -> list[Any]:
            one = of(value, at)
            return NOTHING if one is None else [item for item in one.get(key, NOTHING) if item is not None]

        return known
    if of is itself:
        return lambda value, at: value.get(key, NOTHING)
    return lambda value, at: NOTHING if (one := of(value, at)) is None else one.get(key, NOTHING)


def _untyped(parent: Expr, name: str) -> Expr:
    of = listed(parent)

    def run(value: Any, at: int) -> list[Any]:
        found: list[Any] = []
        for one in of(value, at):
            inner = one.get(name) if isinstance(one, dict) else None
            found += inner if isinstance(inner, list) else [] if inner is None else [inner]
        return found

    return Expr(run, True)


def of_type(looked: Looked, expr: Expr, type: str) -> Expr:
    """The values of a type. Raises ValueError for what is no type of R4."""
    definitions = looked.definitions
    name = _known(definitions, type)
    if expr.of is not None:
        element = expr.members.get(name.lower())
        return nothing(name) if element is None else property_of(looked, expr.of, element)
    if expr.type and expr.type not in ("Resource", "DomainResource"):
        return expr if name in (expr.type, ABOVE.get(expr.type)) else nothing(name)
    if looked.sure and not (expr.type and name in definitions.resources):
        raise ValueError(f"asks whether something is {name} of which it is not known what it is")
    run = listed(expr)
    structure = name if name in definitions.structures else ""
    if name in definitions.resources:
        return Expr(
            lambda value, at: [one for one in run(value, at) if one.get("resourceType") == name], True, name, structure
        )
    return Expr(run, True, name, structure)


def _known(definitions: Definitions, type: str) -> str:
    for name in (type, type[:1].lower() + type[1:], type[:1].upper() + type[1:]):
        if name in definitions.primitives or name in definitions.structures:
            return name
    raise ValueError(f"names the type {type[:40]!r}, which R4 has not")
