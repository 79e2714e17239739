"""What a store is asked: a small algebra over index entries, and its meaning in memory. https://hl7.org/fhir/R4/search.html

A store knows nothing of FHIR. It knows resources that carry index entries, and these predicates. `matches` below is the
meaning of a predicate, written to be read; the stores must agree with it (tests/store/predicate_test.py).

An entry is a tuple: its Param, then one value for each of `fields(param.kind)`, in that order. Values are never None:

    token      system "" when there is none, code
    reference  type, id of a resource of this server ("" for both when foreign), url ("" when local), version ("" unless
               the reference is a canonical that names one)
    date       low, high: microseconds since 1970 as int, the half-open range [low, high)
    number     low, high: floats, equal for a single value
    quantity   low, high: floats; system, code, unit ("" when absent)
    string     norm (folded: no case, no accents, single spaces), exact
    uri        uri
A composite's kind joins those of its components with "$" (`token$quantity`) and its fields are numbered: `1.system`,
`1.code`, `2.low`, ... Four kinds are columns of the resource rather than entries of it: `id` (field id), `updated`
(fields low and high, the same instant twice), `rule` (the number of what its patients permit, access/rules.py) and
`until` (the instant up to which that holds).

The operators are `=`, `<`, `<=`, `>`, `>=` and, on text, `prefix`, `suffix` and `contains`. `in` is the only test of
its Is and compares several fields at once with a tuple of tuples: `("system,code", "in", (("http://loinc.org", "8"),))`
of a token, `("type,id", "in", ...)` of a reference, `("id", "in", (("1",), ...))` of `_id`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple


class Param(NamedTuple):
    """A search parameter as the index knows it: its code and the kind of entry it makes."""

    code: str
    kind: str


Entry = tuple[Any, ...]  # (Param, value, ...): see the module's first lines
Test = tuple[str, str, Any]  # (field, operator, value)

FIELDS: Mapping[str, tuple[str, ...]] = {
    "token": ("system", "code"),
    "reference": ("type", "id", "url", "version"),
    "date": ("low", "high"),
    "number": ("low", "high"),
    "quantity": ("low", "high", "system", "code", "unit"),
    "string": ("norm", "exact"),
    "uri": ("uri",),
    "id": ("id",),
    "updated": ("low", "high"),
    "rule": ("rule",),
    "until": ("until",),
}

ID = Param("_id", "id")
UPDATED = Param("_lastUpdated", "updated")
RULE = Param("_rule", "rule")
UNTIL = Param("_until", "until")


@cache
def fields(kind: str) -> tuple[str, ...]:
    """The names of an entry's values, in order, for a kind or a composite of kinds."""
    parts = kind.split("$")
    if len(parts) == 1:
        return FIELDS[kind]
    return tuple(f"{number}.{name}" for number, part in enumerate(parts, 1) for name in FIELDS[part])


@dataclass(frozen=True, slots=True)
class Is:
    """ONE index entry of `param` meets all tests; with no tests: the resource has an entry of `param`."""

    param: Param
    tests: tuple[Test, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """Some entry of the reference `param` names a `type` resource of this server that matches `where`."""

    param: Param
    type: str
    where: "Predicate"


@dataclass(frozen=True, slots=True)
class Has:
    """Some `type` resource that matches `where` refers to this one through its reference `param`."""

    type: str
    param: Param
    where: "Predicate"


@dataclass(frozen=True, slots=True)
class And:
    """All parts; And(()) is true."""

    parts: tuple["Predicate", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Some part; Or(()) is false."""

    parts: tuple["Predicate", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Everything that `part` is not."""

    part: "Predicate"


@dataclass(frozen=True, slots=True)
class Of:
    """The resource is of one of `types` and matches `where`: a search over many types asks something else of each."""

    types: tuple[str, ...]
    where: "Predicate"


Predicate = Is | Chain | Has | And | Or | Not | Of


def across(where: Predicate) -> bool:
    """Whether a condition is about other resources."""
    match where:
        case And(parts) | Or(parts):
            return any(across(part) for part in parts)
        case Not(part) | Of(_, part):
            return across(part)
    return isinstance(where, Chain | Has)


def conjuncts(where: Predicate) -> list[Predicate]:
    """The parts of nested Ands, flat."""
    return [part for inner in where.parts for part in conjuncts(inner)] if isinstance(where, And) else [where]


EVERYTHING = And(())
NOTHING = Or(())


def of_types(types: Iterable[str]) -> Of:
    """Whatever is of one of these types."""
    return Of(tuple(types), EVERYTHING)


class Sort(NamedTuple):
    """One sort key. Resources without a value come last either way; with several values the one that comes first in
    the sort order counts: the lowest going up, the highest going down. Compared fields: token code, reference
    (type, id or url), date/number/quantity low, string norm, uri uri, id id, updated low."""

    param: Param
    descending: bool = False


class Indexed(NamedTuple):
    """A resource as the oracle sees it: its identity, its instant of last change, its entries, its rule."""

    type: str
    id: str
    updated: int
    entries: tuple[Entry, ...]
    rule: int = 0
    until: int = 0


World = Mapping[tuple[str, str], Indexed]  # (type, id) -> resource, deleted ones left out


def matches(where: Predicate, row: Indexed, world: World) -> bool:
    """Whether `row` matches: the definition that every store is tested against."""
    match where:
        case And(parts):
            return all(matches(part, row, world) for part in parts)
        case Or(parts):
            return any(matches(part, row, world) for part in parts)
        case Not(part):
            return not matches(part, row, world)
        case Of(types, part):
            return row.type in types and matches(part, row, world)
        case Is(param, tests):
            return any(_meets(entry, param, tests) for entry in entries_of(row, param))
        case Chain(param, type_, inner):
            found = (world.get((type_, entry[2])) for entry in entries_of(row, param) if entry[1] == type_)
            return any(target is not None and matches(inner, target, world) for target in found)
        case Has(type_, param, inner):
            return any(
                any(entry[1] == row.type and entry[2] == row.id for entry in entries_of(source, param))
                and matches(inner, source, world)
                for source in world.values()
                if source.type == type_
            )


def entries_of(row: Indexed, param: Param) -> Iterable[Entry]:
    """The row's entries of one parameter, columns included."""
    if param.kind == "id":
        return ((param, row.id),)
    if param.kind == "updated":
        return ((param, row.updated, row.updated),)
    if param.kind in ("rule", "until"):
        return ((param, row.rule if param.kind == "rule" else row.until),)
    return (entry for entry in row.entries if entry[0] == param)


def _meets(entry: Entry, param: Param, tests: tuple[Test, ...]) -> bool:
    names = fields(param.kind)

    def value_of(field: str) -> Any:
        return entry[1 + names.index(field)]

    return all(
        tuple(map(value_of, field.split(","))) in value
        if operator == "in"
        else _holds(value_of(field), operator, value)
        for field, operator, value in tests
    )


def _holds(have: Any, operator: str, want: Any) -> bool:
    match operator:
        case "=":
            return bool(have == want)
        case "<":
            return bool(have < want)
        case "<=":
            return bool(have <= want)
        case ">":
            return bool(have > want)
        case ">=":
            return bool(have >= want)
        case "prefix":
            return bool(have.startswith(want))
        case "suffix":
            return bool(have.endswith(want))
        case "contains":
            return bool(want in have)
    raise ValueError(f"unknown operator {operator!r}")
