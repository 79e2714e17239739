"""JSON Patch (RFC 6902) on decoded resources. https://hl7.org/fhir/R4/http.html#patch"""

import re
from collections.abc import Callable
from typing import Any

from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import refuse

COPY_LIMIT = 20_000_000  # bytes that "copy" and "add" may put in: repeated copies would double a resource without end
_MEMBERS = {
    "add": ("value",),
    "remove": (),
    "replace": ("value",),
    "move": ("from",),
    "copy": ("from",),
    "test": ("value",),
}
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_BAD_ESCAPE = re.compile(r"~(?![01])")

Path = list[str]


def apply_patch(resource: Resource, operations: Any) -> Resource:
    """The resource after all operations; the one given stays as it is.

    Raises FhirError 422 for a malformed operation, a path that is not there, or a `test` that fails; the index of the
    operation is named. Neither resourceType nor id may change.
    """
    if not isinstance(operations, list):
        raise refuse(422, "structure", "A JSON Patch is an array of operations.")
    document: Any = _copy(resource)
    copied = 0
    for number, operation in enumerate(operations):
        try:
            name, path, argument = _read(operation)
            if name == "copy":
                copied += len(codec.encode(_at(document, _pointer(operation["from"]))))
                if copied > COPY_LIMIT:
                    raise ValueError("the patch copies too much")
            document = _OPERATIONS[name](document, path, argument)
        except (ValueError, KeyError, IndexError) as error:
            reason = error.args[0] if error.args else "it cannot be applied"
            raise refuse(422, "processing", f"Patch operation {number} failed: {reason}.") from None
    if not isinstance(document, dict):
        raise refuse(422, "processing", "The patch leaves no resource.")
    for key in ("resourceType", "id"):
        if document.get(key) != resource.get(key):
            raise refuse(422, "business-rule", f"A patch cannot change {key}.")
    return document


def _read(operation: Any) -> tuple[str, Path, Any]:
    if not isinstance(operation, dict):
        raise ValueError("an operation is an object")
    name = operation.get("op")
    if not isinstance(name, str) or name not in _MEMBERS:
        raise ValueError(f"op must be one of {', '.join(_MEMBERS)}")
    for member in ("path", *_MEMBERS[name]):
        if member not in operation:
            raise ValueError(f"{name} needs {member!r}")
    path = _pointer(operation["path"])
    argument = _pointer(operation["from"]) if "from" in _MEMBERS[name] else operation.get("value")
    return name, path, argument


def _pointer(text: Any) -> Path:
    """RFC 6901: `/name/0/given` as its unescaped parts; "" is the whole document."""
    if not isinstance(text, str) or (text and not text.startswith("/")) or _BAD_ESCAPE.search(text):
        raise ValueError(f"{str(text)[:100]!r} is not a JSON Pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _index(part: str, length: int) -> int:
    if not _INDEX.fullmatch(part) or int(part) >= length:
        raise ValueError(f"there is no index {part[:20]!r} in a list of {length}")
    return int(part)


def _at(document: Any, path: Path) -> Any:
    for part in path:
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list):
            document = document[_index(part, len(document))]
        else:
            raise ValueError(f"there is nothing at {'/' + '/'.join(path)!r}")
    return document


def _add(document: Any, path: Path, value: Any) -> Any:
    if not path:
        return _copy(value)
    holder, last = _at(document, path[:-1]), path[-1]
    if isinstance(holder, dict):
        holder[last] = _copy(value)
    elif isinstance(holder, list):
        holder.insert(len(holder) if last == "-" else _index(last, len(holder) + 1), _copy(value))
    else:
        raise ValueError(f"{'/' + '/'.join(path[:-1])!r} holds no members")
    return document


def _remove(document: Any, path: Path, _: Any) -> Any:
    if not path:
        return None
    _at(document, path)
    holder = _at(document, path[:-1])
    del holder[path[-1] if isinstance(holder, dict) else int(path[-1])]
    return document


def _replace(document: Any, path: Path, value: Any) -> Any:
    if not path:
        return _copy(value)
    _at(document, path)
    holder = _at(document, path[:-1])
    holder[path[-1] if isinstance(holder, dict) else int(path[-1])] = _copy(value)
    return document


def _move(document: Any, path: Path, source: Path) -> Any:
    if path[: len(source)] == source and path != source:
        raise ValueError("a value cannot be moved into itself")
    value = _at(document, source)
    return _add(_remove(document, source, None), path, value)


def _copy_from(document: Any, path: Path, source: Path) -> Any:
    return _add(document, path, _at(document, source))


def _test(document: Any, path: Path, value: Any) -> Any:
    if not same(_at(document, path), value):
        raise ValueError(f"the value at {'/' + '/'.join(path)!r} is not the one tested for")
    return document


def same(left: Any, right: Any) -> bool:
    """Equality of JSON values as RFC 6902 section 4.6 defines it: numbers by value, and true is not 1."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _copy(value: Any) -> Any:
    if isinstance(value, dict | list):
        try:
            return codec.decode(codec.encode(value))
        except RecursionError:
            raise refuse(422, "processing", "The patch nests values too deeply.") from None
    return value


_OPERATIONS: dict[str, Callable[[Any, Path, Any], Any]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy_from,
    "test": _test,
}
