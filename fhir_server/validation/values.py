"""Fixed values, patterns and the codes of an element. https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.pattern_x_"""

from typing import Any

from fhir_server.validation.items import Item


def equal(value: Any, fixed: Any) -> bool:
    """Whether a value is exactly the fixed one."""
    return (type(value) is type(fixed) and bool(value == fixed)) or _number(value, fixed)


def _number(value: Any, fixed: Any) -> bool:
    plain = not isinstance(value, (dict, list, str, bool)) and not isinstance(fixed, (dict, list, str, bool))
    return plain and value is not None and bool(value == fixed)


def contains(value: Any, pattern: Any) -> bool:
    """Whether all that the pattern says is in the value; of a list, each of its items in some item."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            key in value and contains(value[key], inner) for key, inner in pattern.items()
        )
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(contains(one, inner) for one in value) for inner in pattern)
    return equal(value, pattern)


def codes(item: Item) -> list[tuple[str, str]] | None:
    """System ("" where the type has none) and code of each coding; None for what is coded in no way."""
    value = item.value
    match item.type:
        case "CodeableConcept":
            return [(one.get("system", ""), one["code"]) for one in (value or {}).get("coding", ()) if "code" in one]
        case "Coding" | "Quantity" | "Age" | "Count" | "Distance" | "Duration" | "Money":
            return [(value.get("system", ""), value["code"])] if value and "code" in value else []
        case "code" | "uri" | "string" | "canonical" | "url" | "id":
            return [("", value)] if value is not None else []
    return None


def shown(value: Any) -> str:
    """A fixed value or pattern in few words."""
    if isinstance(value, dict):
        coding = value.get("coding")
        if isinstance(coding, list) and coding:
            return " and ".join(shown(one) for one in coding)
        if "code" in value:
            return "|".join(part for part in (value.get("system"), value["code"]) if part)
    return repr(value)[:120]
