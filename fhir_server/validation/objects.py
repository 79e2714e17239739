"""The check of one JSON object against the table of its properties. https://hl7.org/fhir/R4/json.html"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NamedTuple

from fhir_server.validation.problem import LIMIT, Check, Found, Problem, Scope, beneath, shown

SIBLING = 1  # the mark of `_name` properties, which carry id and extension of a primitive

_name = re.compile(r"[A-Za-z_][A-Za-z0-9]{0,59}").fullmatch


class Property(NamedTuple):
    """What may stand under one key. Marks are bits: one for each required element and for each choice."""

    check: Check
    mark: int
    many: bool
    place: str  # ".gender", ".value.ofType(Quantity)"


@dataclass(frozen=True, slots=True)
class Rules:
    """What a structure asks of an object as a whole."""

    name: str
    required: Mapping[int, tuple[str, ...]]  # mark -> the property, or the members of the choice
    choices: Mapping[str, tuple[str, ...]]
    only_id: bool  # an object with nothing but an id is refused (ele-1); a resource may be that
    also: Check | None  # a rule of this type alone


def object_check(table: Mapping[str, Property], rules: Rules) -> Check:
    """The check of an object with these properties. `table` may still be filled after the call, as types contain each other."""
    get = table.get
    also = rules.also
    needed = sum(rules.required)

    def check(value: Any, scope: Scope) -> Found:
        if type(value) is not dict or not value:
            return [Problem("structure", f"must be a JSON object that is not empty, not {shown(value)}.")]
        found: Found = None
        seen = twice = 0
        for key, item in value.items():
            entry = get(key)
            if entry is None:
                found = _note(found, [_unknown(key, rules, table)])
                continue
            check_item, mark, many, place = entry
            if many:
                if wrong := _check_array(item, check_item, scope, "_" + key in value):
                    found = _note(found, beneath(place, wrong))
            elif wrong := check_item(item, scope):
                found = _note(found, beneath(place, wrong))
            twice |= seen & mark
            seen |= mark
        if twice and (wrong := _two_members(value, rules)):
            found = _note(found, wrong)
        if seen & needed != needed:
            found = _note(found, _missing(seen, rules))
        if seen & SIBLING and (wrong := _misaligned(value, table)):
            found = _note(found, wrong)
        if len(value) == 1 and rules.only_id and "id" in value:
            found = _note(found, [Problem("invariant", "must have a value or an extension, not only an id (ele-1).")])
        if also is not None and (wrong := also(value, scope)):
            found = _note(found, wrong)
        return found

    return check


def _check_array(items: Any, check: Check, scope: Scope, nulls: bool) -> Found:
    """The problems of an array; null may stand for a primitive whose extension is in the `_name` array."""
    if type(items) is not list or not items:
        return [
            Problem(
                "structure", f"must be a JSON array that is not empty, not {'[]' if items == [] else shown(items)}."
            )
        ]
    found: Found = None
    for index, item in enumerate(items):
        wrong = check(item, scope)
        if wrong and not (nulls and item is None):
            found = _note(found, beneath(f"[{index}]", wrong))
            if len(found) >= LIMIT:
                break
    return found


def _note(found: Found, more: list[Problem]) -> list[Problem]:
    return more if found is None else (found + more)[:LIMIT]


def _unknown(key: str, rules: Rules, table: Mapping[str, Property]) -> Problem:
    if not _name(key):
        return Problem("structure", f"has the property {shown(key)}, which {rules.name} does not have in R4.")
    close = get_close_matches(key, table, 1, 0.75)
    hint = f" Did you mean {close[0]}?" if close else ""
    return Problem("structure", f"is not an element of {rules.name} in R4.{hint}", f".{key}")


def _two_members(value: Mapping[str, Any], rules: Rules) -> list[Problem]:
    """The choices of which more than one member is present; `valueString` with `_valueString` is one."""
    found = []
    for name, members in rules.choices.items():
        present = [member for member in members if member in value or "_" + member in value]
        if len(present) > 1:
            found.append(Problem("structure", f"must have one type only, not {' and '.join(present)}.", f".{name}"))
    return found


def _missing(seen: int, rules: Rules) -> list[Problem]:
    found = []
    for mark, members in rules.required.items():
        if not seen & mark:
            name, hint = members[0], ""
            if len(members) > 1:
                name, hint = members[0], f": one of {', '.join(members[1:])}"
            found.append(Problem("required", f"is required{hint}.", f".{name}"))
    return found


def _misaligned(value: Mapping[str, Any], table: Mapping[str, Property]) -> list[Problem]:
    """Arrays `name` and `_name` of different length, or with null at the same index."""
    found = []
    for key, second in value.items():
        if key[:1] != "_" or key not in table or not table[key].many or type(second) is not list:
            continue
        first = value.get(key[1:], [None] * len(second))
        if type(first) is not list:
            continue
        place = table[key].place
        if len(first) != len(second):
            text = f"must have the same length in {key[1:]} and {key}, with null where there is nothing."
            found.append(Problem("structure", text, place))
        found += [
            Problem("structure", f"must not be null in both {key[1:]} and {key}.", f"{place}[{index}]")
            for index, pair in enumerate(zip(first, second, strict=False))
            if pair == (None, None)
        ]
    return found[:LIMIT]
