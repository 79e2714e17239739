"""The input parameters of an operation, from a query or a Parameters resource. https://hl7.org/fhir/R4/operations.html#request"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fhir_server.fhir.dates import bounds
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Ask

Inputs = Mapping[str, Any]
Span = tuple[int | None, int | None]  # [low, high) in microseconds since 1970, None where open
COMPLEX = ("resource", "Meta", "object", "part")  # kinds that no query string can carry


def inputs(ask: Ask, known: Mapping[str, str]) -> Inputs:
    """The values of what was given, by name; `known` maps an operation's parameters to their kinds (KINDS).

    A parameter that may repeat (kind with `*`) gives a list. A body that is no Parameters is the `resource` parameter.
    Raises FhirError 400 for unknown names (unless handling is lenient), repetitions and values of another kind.
    """
    found: dict[str, Any] = {}
    for name, value, at in given(ask, known):
        kind = known.get(name) or known.get("*")
        if kind is None:
            if ask.lenient:
                continue
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise refuse(400, "not-supported", f"The operation has no parameter {name[:60]!r}: {takes}.", at)
        one = kind.removesuffix("*")
        if kind in ("pairs", "pairs*"):
            found.setdefault("*", []).append((name, _text(name, value, at)))
        elif kind != one:
            found.setdefault(name, []).append(KINDS[one](name, value, at))
        elif name in found:
            raise refuse(400, "invalid", f"Parameter {name[:60]!r} can be given once only.", at)
        else:
            found[name] = KINDS[one](name, value, at)
    return found


def given(ask: Ask, known: Mapping[str, str]) -> Iterator[tuple[str, Any, str]]:
    """Name, value (text of a query, or what value[x] or `resource` hold) and place of every parameter."""
    for name, text in ask.query:
        yield name, text, name
    body = ask.resource
    if body is None:
        return
    if body.get("resourceType") != "Parameters" or (ask.type == "Parameters" and not _wraps(body)):
        if known.get("resource") != "resource":
            raise refuse(400, "invalid", "The body of this operation must be a Parameters resource.", "Parameters")
        yield "resource", body, "Parameters"
        return
    listed = body.get("parameter", [])
    if not isinstance(listed, list):
        raise refuse(400, "structure", "Parameters.parameter must be an array.", "Parameters.parameter")
    for number, one in enumerate(listed):
        at = f"Parameters.parameter[{number}]"
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            raise refuse(400, "structure", "A parameter is an object with a name.", at)
        held = [value for key, value in one.items() if key in ("resource", "part") or key.startswith("value")]
        if len(held) != 1:
            raise refuse(400, "structure", f"Parameter {one['name'][:60]!r} needs one value[x], resource or part.", at)
        yield one["name"], held[0], at


def _wraps(body: Mapping[str, Any]) -> bool:
    """Whether a Parameters given to Parameters/$validate holds the resource, rather than being it."""
    listed = body.get("parameter")
    return isinstance(listed, list) and any(isinstance(p, dict) and p.get("name") == "resource" for p in listed)


def _text(name: str, value: Any, at: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)) or value is None:
        raise refuse(400, "value", f"{name[:60]}: the value must be a primitive one.", at)
    text = str(value)
    if not text:
        raise refuse(400, "value", f"{name[:60]} has no value.", at)
    return text


def _boolean(name: str, value: Any, at: str) -> bool:
    text = _text(name, value, at)
    if text not in ("true", "false"):
        raise refuse(400, "value", f"{name} must be true or false, not {text[:40]!r}.", at)
    return text == "true"


def _count(name: str, value: Any, at: str) -> int:
    text = _text(name, value, at)
    if not (text.isascii() and text.isdigit()) or not text.strip("0"):
        raise refuse(400, "value", f"{name} must be a whole number of 1 or more, not {text[:40]!r}.", at)
    return int(text[:9])


def _offset(name: str, value: Any, at: str) -> int:
    text = _text(name, value, at)
    if not (text.isascii() and text.isdigit()):
        raise refuse(400, "value", f"{name} must be a whole number of 0 or more, not {text[:40]!r}.", at)
    return int(text[:9])


def _date(name: str, value: Any, at: str) -> tuple[int, int]:
    text = _text(name, value, at)
    try:
        return bounds(text.replace(" ", "+"))  # a + before the zone that was not encoded arrives as a space
    except (ValueError, OverflowError):
        raise refuse(
            400, "value", f"{name} must be a date such as 2026-03 or 2026-03-09, not {text[:40]!r}.", at
        ) from None


_BOUNDS: Mapping[str, Callable[[int, int], Span]] = {
    "eq": lambda low, high: (low, high),
    "ge": lambda low, high: (low, None),
    "gt": lambda low, high: (high, None),
    "sa": lambda low, high: (high, None),
    "le": lambda low, high: (None, high),
    "lt": lambda low, high: (None, low),
    "eb": lambda low, high: (None, low),
}


def _period(name: str, value: Any, at: str) -> Span:
    """A Period, or a date with a prefix as searches have it."""
    if isinstance(value, dict):
        start, end = (_date(name, value[key], at) if key in value else None for key in ("start", "end"))
        if start is None and end is None:
            raise refuse(400, "value", f"{name} needs a start or an end.", at)
        return start[0] if start else None, end[1] if end else None
    text = _text(name, value, at).strip()
    prefix = text[:2] if text[:2] in _BOUNDS else ""
    return _BOUNDS[prefix or "eq"](*_date(name, text.removeprefix(prefix), at))


def _codes(name: str, value: Any, at: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part for part in _text(name, value, at).split(",") if part))


def _object(name: str, value: Any, at: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refuse(400, "value", f"{name} must be given in a Parameters resource, as an object.", at)
    return value


def _parts(name: str, value: Any, at: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise refuse(400, "value", f"{name} must be given in a Parameters resource, with parts.", at)
    return value


def _reference(name: str, value: Any, at: str) -> str:
    return _text(name, value.get("reference") if isinstance(value, dict) else value, at)


# What a parameter may be; a date becomes the range [low, high) in microseconds that it covers, a period a Span.
KINDS: Mapping[str, Callable[[str, Any, str], Any]] = {
    "string": _text,
    "boolean": _boolean,
    "count": _count,
    "date": _date,
    "reference": _reference,
    "codes": _codes,
    "resource": _object,
    "Meta": _object,
    "object": _object,
    "offset": _offset,
    "part": _parts,
    "period": _period,
}
