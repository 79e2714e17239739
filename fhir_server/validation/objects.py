"""The check of one JSON object against the table of its properties. https://hl7.org/fhir/R4/json.html"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice, zip_longest
from typing import Any

from fhir_server.validation.problem import LIMIT, Check, Found, Problem, Scope, beneath, shown

SIBLING = 1  # the mark of `_name` properties, which carry id and extension of a primitive
ID = 2  # the mark of the id of an element that is no resource: an object may not consist of it alone
FIRST = 4  # the first mark for required elements and choices

_ELE_1 = "must have a value or an extension, not only an id (ele-1)."
_ARRAY = "a JSON array that is not empty"

_name = re.compile(r"[A-Za-z_][A-Za-z0-9]{0,59}").fullmatch


# What may stand under one key: its check, its mark, whether it is an array, its place (".value.ofType(Quantity)").
# Marks are bits, one for each required element and each choice. A plain tuple is unpacked faster than a NamedTuple.
Property = tuple[Check, int, bool, str]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a structure asks of an object as a whole."""

    name: str
    required: Mapping[int, tuple[str, ...]]  # mark -> the property, or the members of the choice
    choices: Mapping[str, tuple[str, ...]]
    also: Check | None  # a rule of this type alone


def object_check(table: Mapping[str, Property], rules: Rules) -> Check:
    """The check of an object with these properties. `table` may be filled later, as types contain each other."""
    get = table.get
    also = rules.also
    needed = sum(rules.required)
    watched = needed | SIBLING | ID

    def check(value: Any, scope: Scope) -> Found:
        if type(value) is not dict or not value:
            return [Problem("structure", f"must be a JSON object that is not empty, not {shown(value)}.")]
        found: Found = None
        seen = twice = 0
        for key, item in value.items():
            entry = get(key)
            if entry is None:
                found = _note(found, [_unknown(key, rules, table)])
                if len(found) >= LIMIT:
                    return found
                continue
            check_item, mark, many, place = entry
            if not many:
                if wrong := check_item(item, scope):
                    found = _note(found, beneath(place, wrong))
            elif type(item) is not list or not item:
                found = _note(found, [Problem("structure", f"must be {_ARRAY}, not {shown(item)}.", place)])
            else:
                for index, one in enumerate(item):
                    if one is None and "_" + key in value:
                        continue  # a primitive of which the `_name` array holds an extension
                    if wrong := check_item(one, scope):
                        found = _note(found, beneath(f"{place}[{index}]", wrong))
                        if len(found) >= LIMIT:
                            return found
            if mark:
                twice |= seen & mark
                seen |= mark
        if twice or seen & watched != needed:
            found = _note(found, _as_a_whole(value, seen, rules, table))
        if also is not None and (wrong := also(value, scope)):
            found = _note(found, wrong)
        return found

    return check


def _as_a_whole(value: Mapping[str, Any], seen: int, rules: Rules, table: Mapping[str, Property]) -> list[Problem]:
    """The problems that no single property has. `seen` are the marks that were met."""
    found = _two_members(value, rules) + _missing(seen, rules) + _misaligned(value, table) + _ids_alone(value, table)
    if seen & ID and len(value) == 1:
        found.append(Problem("invariant", _ELE_1))
    return found


def _note(found: Found, more: list[Problem]) -> list[Problem]:
    return (found + more)[:LIMIT] if found else more


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
            hint = f": one of {', '.join(members[1:])}" if len(members) > 1 else ""
            found.append(Problem("required", f"is required{hint}.", f".{members[0]}"))
    return found


def _ids_alone(value: Mapping[str, Any], table: Mapping[str, Property]) -> list[Problem]:
    """The places where `_name` holds an id and nothing else, and `name` no value for it."""
    found = []
    for key, second in value.items():
        if key[:1] == "_" and key in table:
            first, many, place = value.get(key[1:]), table[key][2], table[key][3]
            pairs = zip_longest(first if type(first) is list else (), second if type(second) is list else (second,))
            for index, (one, beside) in enumerate(pairs if many else [(first, second)]):
                if one is None and type(beside) is dict and beside.keys() == {"id"}:
                    found.append(Problem("invariant", _ELE_1, f"{place}[{index}]" if many else place))
    return found[:LIMIT]


def _misaligned(value: Mapping[str, Any], table: Mapping[str, Property]) -> list[Problem]:
    """Arrays `name` and `_name` of different length, or with null at the same index."""
    found = []
    for key, second in value.items():
        if key[:1] != "_" or key not in table or not table[key][2] or type(second) is not list:
            continue
        first = value.get(key[1:], [None] * len(second))
        if type(first) is not list:
            continue
        place = table[key][3]
        if len(first) != len(second):
            text = f"must have the same length in {key[1:]} and {key}, with null where there is nothing."
            found.append(Problem("structure", text, place))
        both = (index for index, pair in enumerate(zip(first, second, strict=False)) if pair == (None, None))
        text = f"must not be null in both {key[1:]} and {key}."
        found += [Problem("structure", text, f"{place}[{index}]") for index in islice(both, LIMIT)]
    return found[:LIMIT]
