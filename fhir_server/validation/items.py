"""The elements of a resource one by one, with their types and places, as profiles speak of them. https://hl7.org/fhir/R4/json.html#primitive"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fhir_server.fhir.definitions import Element, load

EMPTY: Mapping[str, Any] = {}


class Item(NamedTuple):
    """One element of an instance: `value` is None where only extensions stand (`_name`, `beside`)."""

    value: Any
    beside: Mapping[str, Any]
    type: str
    structure: str  # the key in Definitions.structures of what is inside; "" for a primitive
    path: str
    bound: str = ""  # the value set that R4 itself requires

    @property
    def inside(self) -> Mapping[str, Any]:
        """The object whose properties are its parts: of a primitive, what stands beside it."""
        return self.value if isinstance(self.value, dict) else self.beside


def root(resource: Mapping[str, Any], path: str = "") -> Item:
    """A resource as an item; without a path it is where all begins."""
    type = resource["resourceType"]
    return Item(resource, EMPTY, type, type, path or type)


def extensions(item: Item) -> Iterator[Item]:
    """The extensions of an element and of all that is inside it, but not inside resources in it or other extensions."""
    stack = [item]
    while stack:
        item = stack.pop()
        structure = load().structures.get(item.structure or "Element")
        names = dict.fromkeys(key.removeprefix("_") for key in item.inside) if structure is not None else {}
        for name in names:
            for inner in items(item, name):
                if inner.type == "Extension":
                    yield inner
                elif "resourceType" not in inner.inside:
                    stack.append(inner)


def items(parent: Item, name: str) -> list[Item]:
    """The elements called `name` in it: of a choice (`value[x]`), whichever member there is."""
    structure = load().structures.get(parent.structure or "Element")
    if structure is None:
        return []
    inside = parent.inside
    stem = name.removesuffix("[x]")
    keys = structure.choices[stem].members if stem != name and stem in structure.choices else (name,)
    return [
        item
        for key in keys
        if (key in inside or f"_{key}" in inside) and (element := structure.elements.get(key)) is not None
        for item in _of(parent, inside, key, element)
    ]


def _of(parent: Item, inside: Mapping[str, Any], key: str, element: Element) -> list[Item]:
    name = f"{element.choice}.ofType({element.type})" if element.choice else key
    first, second = inside.get(key), inside.get(f"_{key}")
    if not element.many:
        return [_item(first, second, element, f"{parent.path}.{name}")]
    firsts, seconds = first or [], second or []
    return [
        _item(
            firsts[number] if number < len(firsts) else None,
            seconds[number] if number < len(seconds) else None,
            element,
            f"{parent.path}.{name}[{number}]",
        )
        for number in range(max(len(firsts), len(seconds)))
    ]


def _item(value: Any, beside: Any, element: Element, path: str) -> Item:
    if element.type == "Resource" and isinstance(value, dict):
        type = value.get("resourceType", "")
        return Item(value, EMPTY, type, type, path)
    bound = element.binding.valueset if element.binding and element.binding.codes is not None else ""
    return Item(value, beside or EMPTY, element.type, element.structure or "", path, bound)
