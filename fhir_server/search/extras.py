"""What modifiers and units ask beyond a parameter's own entries, as fields of pseudo-parameters. https://hl7.org/fhir/R4/search.html#modifiers

`subject:identifier`, `identifier:of-type`, `instantiates-canonical:below`, `value-quantity:ucum`: entries are made only
where there is something to find, so that most resources pay for none.
"""

from collections.abc import Mapping
from typing import Any

from fhir_server.fhir import ucum
from fhir_server.fhir.references import canonical
from fhir_server.search.entries import LARGEST, Fields, Values, quantity, range_, system_value, to_float


def _identifier(value: dict[str, Any]) -> tuple[Fields, ...]:
    """The token of a reference's identifier: what `:identifier` asks for."""
    identifier = value.get("identifier")
    return system_value(identifier) if identifier else ()


def _of_type(value: dict[str, Any]) -> tuple[Fields, ...]:
    """Type and value of an identifier, a token each: what `:of-type` asks for."""
    text = value.get("value", "")
    codings = value.get("type", {}).get("coding", ()) if text else ()
    return tuple([(coding.get("system", ""), coding.get("code", ""), "", text) for coding in codings])


def _versioned(value: str) -> tuple[Fields, ...]:
    """A canonical with its version, which `:below` compares by its parts."""
    url, version = canonical(value)
    return ((f"{url}|{version}",),) if version else ()


# Units that need no second entry, which is most of what is written.
_USUAL = frozenset(code for code, scale in ucum.SCALES.items() if scale.canonical == code)


def canonical_unit(value: dict[str, Any]) -> tuple[Fields, ...]:
    """The quantity in the canonical unit of its dimension, if its own is another: see params/quantity.py."""
    if value.get("code") in _USUAL:
        return ()
    made: list[Fields] = []
    for low, high, system, code, _ in range_(value) if "low" in value or "high" in value else quantity(value):
        scale = ucum.scale(code) if system == ucum.SYSTEM else None
        if scale is None or scale.canonical == code:
            return ()
        number = value.get("value")
        ends = (
            (number, number) if number is not None else [(value.get(key) or {}).get("value") for key in ("low", "high")]
        )
        new = [
            old if end is None or abs(old) == LARGEST else to_float(scale.convert(end))
            for old, end in zip((low, high), ends, strict=True)
        ]
        made.append((*new, system, scale.canonical, ""))
    return tuple(made)


def texts(type: str) -> Values | None:
    """The function for the texts that `:text` searches in values of a data type, None if it has none."""
    return _TEXTS.get(type)


def _concept_texts(value: dict[str, Any]) -> tuple[Fields, ...]:
    found = [(coding["display"],) for coding in value.get("coding", ()) if "display" in coding]
    if value.get("text"):
        found.append((value["text"],))
    return tuple(found)


def _display(value: dict[str, Any]) -> tuple[Fields, ...]:
    return ((value["display"],),) if "display" in value else ()


def _type_text(value: dict[str, Any]) -> tuple[Fields, ...]:
    return ((value["type"]["text"],),) if "text" in value.get("type", ()) else ()


_TEXTS: Mapping[str, Values] = {"CodeableConcept": _concept_texts, "Coding": _display, "Identifier": _type_text}

UNITS: Mapping[str, Values] = dict.fromkeys(
    ("Quantity", "Age", "Count", "Distance", "Duration", "Range"), canonical_unit
)

# Kinds that only pseudo-parameters have (index.py), each with the ending of its name and the kind of its entries.
EXTRAS: Mapping[str, tuple[tuple[str, str, Mapping[str, Values]], ...]] = {
    "reference": (
        ("identifier", "token", {"Reference": _identifier}),
        ("below", "uri", {"canonical": _versioned}),
    ),
    "token": (("of-type", "token$token", {"Identifier": _of_type}),),
    "quantity": (("ucum", "quantity", UNITS),),
}
