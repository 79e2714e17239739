"""A profile made ready to check by: the snapshot of a StructureDefinition as a tree of its elements and slices. https://hl7.org/fhir/R4/profiling.html"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fhir_server.fhir.codec import Resource

MAX_VALUE_SET = "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet"
_SYSTEM = "http://hl7.org/fhirpath/System."  # how snapshots type ids and urls, which no profile types otherwise


class Type(NamedTuple):
    """A type that an element may have, the profiles of which it must meet one, and what a reference may point at."""

    code: str
    profiles: tuple[str, ...]
    targets: tuple[str, ...]


class Bound(NamedTuple):
    """A binding: how strong, and to which value set."""

    strength: str
    value_set: str


class Rule(NamedTuple):
    """An invariant."""

    key: str
    severity: str
    expression: str
    human: str


class Slicing(NamedTuple):
    """By what slices are told apart (kind, path), and what they leave room for: open, openAtEnd, closed."""

    by: tuple[tuple[str, str], ...]
    rules: str
    ordered: bool


@dataclass(slots=True, eq=False)
class Node:
    """An element of a profile, or a slice of one."""

    id: str
    name: str  # of the element: value[x], component
    slice: str  # its name, "" for the element itself
    min: int
    max: int | None
    types: tuple[Type, ...]
    fixed: Any  # None if nothing is fixed; a pattern likewise
    pattern: Any
    bounds: tuple[Bound, ...]
    rules: tuple[Rule, ...]
    slicing: Slicing | None
    must: bool  # mustSupport
    same: str  # contentReference: the id of the element whose content this one has
    limits: Mapping[str, Any]  # minValue, maxValue, maxLength
    children: dict[str, "Node"] = field(default_factory=dict)
    slices: dict[str, "Node"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """A compiled StructureDefinition; `nodes` are by element id."""

    url: str
    type: str
    base: str
    root: Node
    nodes: Mapping[str, Node]

    def inside(self, node: Node) -> Node:
        """The node that says what is inside this one: another one, if it refers to that."""
        return self.nodes.get(node.same, node) if node.same else node


def compiled(resource: Resource) -> Profile:
    """A StructureDefinition as a Profile. Raises ValueError if it has no snapshot, or one that makes no sense."""
    elements = resource.get("snapshot", {}).get("element", ())
    if not elements:
        raise ValueError(f"{resource.get('url')} has no snapshot")
    nodes: dict[str, Node] = {}
    for element in elements:
        id = element.get("id") or element["path"]
        node = _node(id, element)
        nodes[id] = node
        _place(nodes, id, node)
    first = next(iter(nodes.values()))
    return Profile(resource["url"], resource["type"], resource.get("baseDefinition", ""), first, nodes)


def _place(nodes: dict[str, Node], id: str, node: Node) -> None:
    """Put a node below the one it belongs to: a slice below its element, or below the slice that it divides."""
    above, _, last = id.rpartition(".")
    name, sliced, slice = last.partition(":")
    if sliced:
        outer = slice.rpartition("/")[0]
        prefix = f"{above}." if above else ""
        host = nodes.get(f"{prefix}{name}:{outer}") if outer else None
        host = host or nodes.get(f"{prefix}{name}")
        if host is not None:
            host.slices[slice] = node
    elif above:
        parent = nodes.get(above)
        if parent is None:
            raise ValueError(f"the element {id!r} comes before {above!r}, which it is part of")
        parent.children[name] = node


def _node(id: str, element: Mapping[str, Any]) -> Node:
    last = id.rpartition(".")[2]
    fixed = pattern = None
    limits: dict[str, Any] = {}
    for key, value in element.items():
        if key.startswith("fixed"):
            fixed = value
        elif key.startswith("pattern"):
            pattern = value
        elif key.startswith(("minValue", "maxValue")) or key == "maxLength":
            limits[key[:9]] = value
    slicing = element.get("slicing")
    return Node(
        id,
        last.partition(":")[0],
        element.get("sliceName", "") or last.partition(":")[2],
        element.get("min", 0),
        None if element.get("max", "*") == "*" else int(element["max"]),
        tuple(_type(one) for one in element.get("type", ()) if not one["code"].startswith(_SYSTEM)),
        fixed,
        pattern,
        tuple(_bounds(element.get("binding", {}))),
        tuple(
            Rule(one["key"], one["severity"], one["expression"], one.get("human", ""))
            for one in element.get("constraint", ())
            if "expression" in one
        ),
        _slicing(slicing) if slicing else None,
        element.get("mustSupport", False),
        element.get("contentReference", "").rpartition("#")[2],
        limits,
    )


def _type(one: Mapping[str, Any]) -> Type:
    return Type(one["code"], tuple(one.get("profile", ())), tuple(one.get("targetProfile", ())))


def _bounds(binding: Mapping[str, Any]) -> Iterator[Bound]:
    if binding.get("valueSet"):
        yield Bound(binding["strength"], binding["valueSet"])
    for one in binding.get("extension", ()):
        if one.get("url") == MAX_VALUE_SET:
            yield Bound("required", one.get("valueCanonical") or one.get("valueUri") or "")


def _slicing(slicing: Mapping[str, Any]) -> Slicing:
    by = tuple((one["type"], one["path"]) for one in slicing.get("discriminator", ()))
    return Slicing(by, slicing.get("rules", "open"), slicing.get("ordered", False))
