"""From a value of a FHIR data type to the fields of its index entries. https://hl7.org/fhir/R4/search.html#ptypes

One table: (kind of parameter, data type) -> function. Each function takes a value as decoded from JSON and gives
tuples of fields in the order that `predicate.FIELDS` states. A pair that is not in the table is not indexed.
"""

import sys
import unicodedata
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any

from fhir_server.fhir.dates import FUTURE, PAST, bounds
from fhir_server.fhir.definitions import Element
from fhir_server.fhir.references import canonical, parse

Fields = tuple[Any, ...]
Values = Callable[[Any], tuple[Fields, ...]]

# The ends of an open range. Infinity has no JSON, and paging puts these into links.
LARGEST = sys.float_info.max
# Strings are indexed and compared up to this many characters.
LONGEST = 1000
# Names and places repeat; longer texts do not and would fill memory.
CACHED = 64
CURRENCY = "urn:iso:std:iso:4217"


def values(kind: str, type: str, element: Element | None, base: str) -> Values | None:
    """The function for values of a data type under a kind of parameter, or None when they are not indexed."""
    if kind == "reference":
        make = REFERENCES.get(type)
        return None if make is None else partial(make, base)
    if kind == "token" and type == "code":
        return partial(_code, (element.binding.system if element and element.binding else None) or "")
    return VALUES.get((kind, type))


def fold(text: str) -> str:
    """Text as string searches compare it: no case, no accents, single spaces."""
    return _fold(text) if len(text) <= CACHED else _fold.__wrapped__(text)


@lru_cache(maxsize=16_384)
def _fold(text: str) -> str:
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).casefold()
    return " ".join(text.lower().split())


def to_float(number: Any) -> float:
    """The nearest float to a JSON number, never infinite."""
    try:
        return max(-LARGEST, min(LARGEST, float(number)))
    except OverflowError:
        return LARGEST if number > 0 else -LARGEST


# token: system, code


def _code(system: str, value: str) -> tuple[Fields, ...]:
    return ((system, value),)


def _text(value: str) -> tuple[Fields, ...]:
    return (("", value),)


def _boolean(value: bool) -> tuple[Fields, ...]:
    return (("", "true" if value else "false"),)


def _coding(value: dict[str, Any]) -> tuple[Fields, ...]:
    return ((value.get("system", ""), value.get("code", "")),)


def _concept(value: dict[str, Any]) -> tuple[Fields, ...]:
    codings = value.get("coding")
    if not codings:
        return (("", ""),)  # only a text: there for :missing, found by no code
    if len(codings) == 1:
        coding = codings[0]
        return ((coding.get("system", ""), coding.get("code", "")),)
    return tuple([(coding.get("system", ""), coding.get("code", "")) for coding in codings])


def system_value(value: dict[str, Any]) -> tuple[Fields, ...]:
    return ((value.get("system", ""), value.get("value", "")),)


def _contact_point(value: dict[str, Any]) -> tuple[Fields, ...]:
    return (("", value.get("value", "")),)  # its `system` (phone, email) is no code system


# reference: type, id, url, version


def _reference(base: str, value: dict[str, Any]) -> tuple[Fields, ...]:
    text = value.get("reference")
    if text is None or text[:1] == "#":
        return (("", "", "", ""),)  # logical or contained: there for :missing, found by no reference
    found = parse(text, base)
    return ((found.type, found.id, found.url, ""),)


def _canonical(base: str, value: str) -> tuple[Fields, ...]:
    url, version = canonical(value)
    found = parse(url, base)
    return ((found.type, found.id, found.url, version),)


def _inlined(base: str, value: dict[str, Any]) -> tuple[Fields, ...]:
    return ((value.get("resourceType", ""), value.get("id", ""), "", ""),)


# date: low, high


def _date(value: str) -> tuple[Fields, ...]:
    try:
        return (bounds(value),)
    except ValueError:
        return ()


def _period(value: dict[str, Any]) -> tuple[Fields, ...]:
    start, end = value.get("start"), value.get("end")
    try:
        low = bounds(start)[0] if start else PAST
        high = bounds(end)[1] if end else FUTURE
    except ValueError:
        return ()
    return ((low, max(high, low + 1)),)


def _timing(value: dict[str, Any]) -> tuple[Fields, ...]:
    ranges = [found for event in value.get("event", ()) if event for found in _date(event)]
    period = value.get("repeat", {}).get("boundsPeriod")
    if period:
        ranges += _period(period)
    if not ranges:
        return ()
    return ((min(low for low, _ in ranges), max(high for _, high in ranges)),)


# number: low, high; quantity: low, high, system, code, unit


def _number(value: Any) -> tuple[Fields, ...]:
    number = to_float(value)
    return ((number, number),)


def _number_range(value: dict[str, Any]) -> tuple[Fields, ...]:
    return tuple([fields[:2] for fields in range_(value)])


def quantity(value: dict[str, Any]) -> tuple[Fields, ...]:
    number = value.get("value")
    if number is None:
        return ()
    low = high = to_float(number)
    comparator = value.get("comparator")
    if comparator:
        if comparator[0] == "<":
            low = -LARGEST
        else:
            high = LARGEST
    return ((low, high, value.get("system", ""), value.get("code", ""), value.get("unit", "")),)


def _money(value: dict[str, Any]) -> tuple[Fields, ...]:
    number = value.get("value")
    if number is None:
        return ()
    amount = to_float(number)
    return ((amount, amount, CURRENCY, value.get("currency", ""), ""),)


def range_(value: dict[str, Any]) -> tuple[Fields, ...]:
    low, high = value.get("low") or {}, value.get("high") or {}
    unit = low or high
    start = to_float(low["value"]) if "value" in low else -LARGEST
    end = to_float(high["value"]) if "value" in high else LARGEST
    return ((start, end, unit.get("system", ""), unit.get("code", ""), unit.get("unit", "")),)


# string: norm, exact; uri: uri


def _string(value: str) -> tuple[Fields, ...]:
    exact = value[:LONGEST]
    return ((fold(exact), exact),)


def _human_name(value: dict[str, Any]) -> tuple[Fields, ...]:
    parts = [value.get("family"), value.get("text")]
    for key in ("given", "prefix", "suffix"):
        parts += value.get(key, ())
    return tuple([(fold(part[:LONGEST]), part[:LONGEST]) for part in parts if part])


def _address(value: dict[str, Any]) -> tuple[Fields, ...]:
    parts = [value.get(key) for key in ("text", "city", "district", "state", "postalCode", "country")]
    parts += value.get("line", ())
    return tuple([(fold(part[:LONGEST]), part[:LONGEST]) for part in parts if part])


def _uri(value: str) -> tuple[Fields, ...]:
    return ((value,),)


def _canonical_uri(value: str) -> tuple[Fields, ...]:
    url, version = canonical(value)
    return ((value,), (url,)) if version else ((value,),)


REFERENCES: Mapping[str, Callable[[str, Any], tuple[Fields, ...]]] = {
    "Reference": _reference,
    "canonical": _canonical,
    "uri": _canonical,
    "Resource": _inlined,
}

VALUES: Mapping[tuple[str, str], Values] = {
    **{("token", type): _text for type in ("string", "id", "uri", "url", "oid", "uuid", "canonical")},
    ("token", "boolean"): _boolean,
    ("token", "Coding"): _coding,
    ("token", "CodeableConcept"): _concept,
    ("token", "Identifier"): system_value,
    ("token", "ContactPoint"): _contact_point,
    **{("date", type): _date for type in ("date", "dateTime", "instant")},
    ("date", "Period"): _period,
    ("date", "Timing"): _timing,
    **{("number", type): _number for type in ("integer", "decimal", "positiveInt", "unsignedInt")},
    ("number", "Range"): _number_range,
    **{("quantity", type): quantity for type in ("Quantity", "Age", "Count", "Distance", "Duration")},
    ("quantity", "Money"): _money,
    ("quantity", "Range"): range_,
    **{("string", type): _string for type in ("string", "markdown", "code", "uri", "id")},
    ("string", "HumanName"): _human_name,
    ("string", "Address"): _address,
    **{("uri", type): _uri for type in ("uri", "url", "oid", "uuid")},
    ("uri", "canonical"): _canonical_uri,
}


def type_of(kind: str, value: Any) -> str:
    """A guess at the data type of a value that fhirpathpy found, which comes without one ("" if there is none)."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float | Decimal):
        return "decimal"
    if isinstance(value, str):
        return {"date": "dateTime", "uri": "uri", "reference": "canonical"}.get(kind, "string")
    if not isinstance(value, dict):
        return ""
    marks = {"token": _TOKEN_MARKS, "date": _DATE_MARKS, "quantity": _QUANTITY_MARKS, "string": _STRING_MARKS}
    found = [type for key, type in marks.get(kind, ()) if key in value]
    return found[0] if found else {"reference": "Reference", "token": "CodeableConcept"}.get(kind, "")


_TOKEN_MARKS = (("coding", "CodeableConcept"), ("code", "Coding"), ("value", "Identifier"))
_DATE_MARKS = (("start", "Period"), ("end", "Period"), ("event", "Timing"), ("repeat", "Timing"))
_QUANTITY_MARKS = (("currency", "Money"), ("low", "Range"), ("high", "Range"), ("value", "Quantity"))
_STRING_MARKS = (
    ("family", "HumanName"), ("given", "HumanName"), ("line", "Address"), ("city", "Address"), ("country", "Address"),
    ("text", "HumanName"),
)  # fmt: skip
