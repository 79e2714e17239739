"""FHIRPath Patch: a Parameters resource of add, insert, delete, replace and move. https://hl7.org/fhir/R4/fhirpatch.html

Paths are those that fhir/paths.py compiles (names, `[n]`, `where(x='y')`, `extension('url')`, `ofType(T)`): a patch
needs the place of an element, and an evaluator such as fhirpathpy gives values only.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.definitions import Definitions, Element
from fhir_server.fhir.outcome import refuse
from fhir_server.fhir.paths import As, At, Key, Step, Where, parse

MOST = 1000  # operations


class Spot(NamedTuple):
    """Where an element is: `holder[key]`, or an item of the list there; `structure` is its type.

    `element` defines the property; None for the resource itself, which no operation may change as a whole.
    """

    holder: dict[str, Any]
    key: str
    position: int | None
    structure: str
    element: Element | None

    @property
    def value(self) -> Any:
        """The element; None where only its `_name` sibling is (a primitive that has just extensions)."""
        found = self.holder.get(self.key)
        return found if self.position is None or found is None else found[self.position]


def apply_fhirpath_patch(definitions: Definitions, resource: Resource, patch: Resource) -> Resource:
    """The resource after all operations; the one given stays as it is. The result is not validated here.

    Raises FhirError 400 for what is no FHIRPath Patch, 422 for an operation that cannot be applied, naming its number.
    """
    if patch.get("resourceType") != "Parameters":
        raise refuse(400, "invalid", "A FHIRPath Patch is a Parameters resource.", str(patch.get("resourceType"))[:64])
    listed = patch.get("parameter", [])
    if not isinstance(listed, list) or len(listed) > MOST:
        raise refuse(400, "structure", f"A patch is an array of up to {MOST} operations.", "Parameters.parameter")
    changed: Resource = codec.decode(codec.encode(resource))
    for number, one in enumerate(listed):
        at = f"Parameters.parameter[{number}]"
        parts = _parts(one, at)
        kind = parts.get("type", {}).get("valueCode", parts.get("type", {}).get("valueString"))
        if not isinstance(kind, str) or kind not in _OPERATIONS:
            raise refuse(400, "value", f"type must be one of {', '.join(_OPERATIONS)}.", at)
        try:
            _OPERATIONS[kind](definitions, changed, parts)
        except (ValueError, KeyError) as error:
            reason = error.args[0] if error.args else "it cannot be applied"
            raise refuse(422, "processing", f"Patch operation {number} ({kind}) failed: {reason}.", at) from None
    for key in ("resourceType", "id"):
        if changed.get(key) != resource.get(key):
            raise refuse(422, "business-rule", f"A patch cannot change {key}.")
    return changed


def _parts(operation: Any, at: str) -> dict[str, Any]:
    """The parts of one operation by name."""
    if not isinstance(operation, dict) or operation.get("name") != "operation":
        raise refuse(400, "structure", "Every parameter of a FHIRPath Patch is named operation.", at)
    listed = operation.get("part")
    if not isinstance(listed, list) or not all(isinstance(p, dict) and isinstance(p.get("name"), str) for p in listed):
        raise refuse(400, "structure", "An operation has parts with names.", f"{at}.part")
    found = {part["name"]: part for part in listed}
    if len(found) != len(listed) or not found.keys() <= _PARTS:
        raise refuse(400, "structure", f"An operation has each of {', '.join(sorted(_PARTS))} at most once.", at)
    return found


_PARTS = {"type", "path", "name", "value", "index", "source", "destination"}


def _told(parts: Mapping[str, Any], name: str, *keys: str) -> Any:
    """The value of a part that must be there."""
    for key in keys:
        if key in parts.get(name, {}):
            return parts[name][key]
    raise ValueError(f"it needs a part {name!r} with {' or '.join(keys)}")


def _index(parts: Mapping[str, Any], name: str, most: int) -> int:
    index = _told(parts, name, "valueInteger", "valueUnsignedInt", "valuePositiveInt")
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index <= most:
        raise ValueError(f"{name} must lie between 0 and {most}")
    return index


def _steps(resource: Resource, parts: Mapping[str, Any]) -> tuple[Step, ...]:
    path = _told(parts, "path", "valueString")
    if not isinstance(path, str) or len(path) > 1000:
        raise ValueError("path must be a string of at most 1000 characters")
    try:
        branches = parse(path)
    except (ValueError, RecursionError):
        raise ValueError(
            f"the path {path[:100]!r} is not a simple one: names, [0], where(x='y'), extension('url') and ofType(T)"
        ) from None
    if len(branches) != 1 or branches[0].root not in (resource["resourceType"], "Resource", "DomainResource", ""):
        raise ValueError(f"the path {path[:100]!r} does not begin at {resource['resourceType']}")
    return branches[0].steps


def _spots(definitions: Definitions, resource: Resource, steps: tuple[Step, ...]) -> list[Spot]:
    """Every element at the path."""
    found = [Spot({"": resource}, "", None, resource["resourceType"], None)]
    for step in steps:
        match step:
            case Key(name):
                found = [inner for spot in found for inner in _enter(definitions, spot, name)]
            case At(position):
                found = found[position : position + 1]
            case Where(key, wanted):
                found = [spot for spot in found if isinstance(spot.value, dict) and spot.value.get(key) == wanted]
            case As(type_):
                found = [spot for spot in found if spot.element is not None and spot.element.type == type_]
            case _:
                raise ValueError("the path tests something instead of naming an element")
    return found


def _enter(definitions: Definitions, spot: Spot, name: str) -> Iterator[Spot]:
    """The elements of a property of one element, in order."""
    holder = spot.value
    if not isinstance(holder, dict):
        return
    for element in _properties(definitions, spot.structure, name):
        there = holder.get(element.name, holder.get(f"_{element.name}"))
        if there is None:
            continue
        for index in range(len(there)) if isinstance(there, list) else (None,):
            item = there if index is None else there[index]
            yield Spot(holder, element.name, index, _structure(element, item), element)


def _properties(definitions: Definitions, structure: str, name: str) -> list[Element]:
    """The JSON properties of an element; several for a choice. Raises ValueError for an unknown one."""
    shape = definitions.structures.get(structure)
    if shape is not None and name in shape.choices:
        return [shape.elements[member] for member in shape.choices[name].members]
    if shape is None or name not in shape.elements:
        raise ValueError(f"{structure} has no element {name[:60]!r}")
    return [shape.elements[name]]


def _structure(element: Element, value: Any) -> str:
    if element.type == "Resource" and isinstance(value, dict):
        return str(value.get("resourceType"))
    return element.structure or element.type


def _single(definitions: Definitions, resource: Resource, parts: Mapping[str, Any]) -> Spot:
    """The one element at the path."""
    found = _spots(definitions, resource, _steps(resource, parts))
    if len(found) != 1:
        raise ValueError(f"the path finds {len(found) or 'no'} elements; it must find one")
    return found[0]


def _value(definitions: Definitions, parts: Mapping[str, Any], element: Element | None, structure: str) -> Any:
    """The value of an operation: value[x], a resource, or parts for an element that has no type of its own."""
    part = parts.get("value", {})
    given = [key for key in part if key == "resource" or (key.startswith("value") and len(key) > 5)]
    if len(given) == 1 and "part" not in part:
        return part[given[0]]
    if not given and isinstance(part.get("part"), list):
        return _built(definitions, element.structure if element and element.structure else structure, part["part"])
    raise ValueError("it needs a part 'value' with one value[x], or with parts")


def _built(definitions: Definitions, structure: str, listed: list[Any]) -> Resource:
    """A backbone element from nested parts: one for each property, repeated for those that repeat."""
    made: Resource = {}
    for part in listed:
        if not isinstance(part, dict) or not isinstance(part.get("name"), str):
            raise ValueError("the parts of a value have names")
        element = _member(definitions, structure, part["name"], part)
        value = _value(definitions, {"value": part}, element, structure)
        if element.many:
            made.setdefault(element.name, []).append(value)
        elif element.name in made:
            raise ValueError(f"{part['name'][:60]!r} does not repeat")
        else:
            made[element.name] = value
    return made


def _member(definitions: Definitions, structure: str, name: str, part: Mapping[str, Any]) -> Element:
    """The property that `name` means; for a choice the one of the type of the value given."""
    found = _properties(definitions, structure, name)
    if found[0].choice == name:
        keys = [key.removeprefix("value") for key in part if key.startswith("value")]
        found = [element for element in found if element.name.removeprefix(name) in keys]
        if not found:
            raise ValueError(f"{name!r} takes no {keys[0] if keys else 'value of this form'}")
    return found[0]


def _add(definitions: Definitions, resource: Resource, parts: Mapping[str, Any]) -> None:
    spot = _single(definitions, resource, parts)
    name = _told(parts, "name", "valueString")
    if not isinstance(spot.value, dict) or not isinstance(name, str):
        raise ValueError("the path leads to a value that has no elements")
    element = _member(definitions, spot.structure, name, parts.get("value", {}))
    value = _value(definitions, parts, element, spot.structure)
    if element.many:
        items, marks = _lists(spot.value, element)
        items.append(value)
        if marks is not None:
            marks.append(None)
        return
    taken = [one.name for one in _properties(definitions, spot.structure, element.choice or element.name)]
    if any(key in spot.value or f"_{key}" in spot.value for key in taken):
        raise ValueError(f"{name!r} exists already and does not repeat: replace it")
    spot.value[element.name] = value


def _lists(holder: dict[str, Any], element: Element) -> tuple[list[Any], list[Any] | None]:
    """The items of a property and, if there are any, the ids and extensions of primitive ones, both of one length.
    https://hl7.org/fhir/R4/json.html#primitive"""
    marks: list[Any] | None = holder.get(f"_{element.name}")
    items: list[Any] = holder.setdefault(element.name, [])
    if marks is not None:
        items += [None] * (len(marks) - len(items))
        marks += [None] * (len(items) - len(marks))
    return items, marks


def _collection(definitions: Definitions, resource: Resource, parts: Mapping[str, Any]) -> tuple[Spot, Element]:
    """The element that holds the list at the path, and the list's definition."""
    steps = _steps(resource, parts)
    last = steps[-1] if steps else None
    if not isinstance(last, Key):
        raise ValueError("the path must end in the name of an element that repeats")
    found = _spots(definitions, resource, steps[:-1])
    if len(found) != 1 or not isinstance(found[0].value, dict):
        raise ValueError(
            f"the path finds {len(found) or 'no'} elements that could hold {last.name!r}; it must find one"
        )
    element = _properties(definitions, found[0].structure, last.name)[0]
    if not element.many:
        raise ValueError(f"{last.name!r} does not repeat")
    return found[0], element


def _insert(definitions: Definitions, resource: Resource, parts: Mapping[str, Any]) -> None:
    spot, element = _collection(definitions, resource, parts)
    items, marks = _lists(spot.value, element)
    index = _index(parts, "index", len(items))
    items.insert(index, _value(definitions, parts, element, spot.structure))
    if marks is not None:
        marks.insert(index, None)


def _delete(definitions: Definitions, resource: Resource, parts: Mapping[str, Any]) -> None:
    found = _spots(definitions, resource, _steps(resource, parts))
    if len(found) > 1:
        raise ValueError(f"the path finds {len(found)} elements; only one can be deleted")
    for spot in found:  # "if found": to delete what is not there is no error
        if spot.element is None:
            raise ValueError("a resource is deleted with DELETE")
        for key in (spot.key, f"_{spot.key}"):
            if spot.position is None:
                spot.holder.pop(key, None)
            elif len(spot.holder.get(key, ())) > spot.position:
                del spot.holder[key][spot.position]
                if not any(item is not None for item in spot.holder[key]):
                    del spot.holder[key]


def _replace(definitions: Definitions, resource: Resource, parts: Mapping[str, Any]) -> None:
    spot = _single(definitions, resource, parts)
    if spot.element is None:
        raise ValueError("a resource is replaced with PUT")
    value = _value(definitions, parts, spot.element, spot.structure)
    if spot.position is not None:
        items, marks = _lists(spot.holder, spot.element)
        items[spot.position] = value
        if marks is not None:
            marks[spot.position] = None
        return
    key = spot.key
    if spot.element.choice:
        holder = spot.element.path.rpartition(".")[0]
        key = _member(definitions, holder, spot.element.choice, parts["value"]).name
    for old in (spot.key, f"_{spot.key}"):
        spot.holder.pop(old, None)
    spot.holder[key] = value


def _move(definitions: Definitions, resource: Resource, parts: Mapping[str, Any]) -> None:
    spot, element = _collection(definitions, resource, parts)
    items, marks = _lists(spot.value, element)
    if not items:
        raise ValueError(f"there is no {element.name!r} to move")
    source, destination = (_index(parts, name, len(items) - 1) for name in ("source", "destination"))
    items.insert(destination, items.pop(source))
    if marks is not None:
        marks.insert(destination, marks.pop(source))


_OPERATIONS: Mapping[str, Callable[[Definitions, Resource, Mapping[str, Any]], None]] = {
    "add": _add,
    "insert": _insert,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}
