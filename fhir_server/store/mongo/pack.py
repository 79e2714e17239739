"""One index entry packed into one string that compares as its fields do, and tests turned into conditions on it.

`code=8480-6<TAB>http://loinc.org`: parameter, a mark for its kind, then the text fields, the most asked for first.
All of them known makes an exact key; the leading ones known make a short range; any other test is a regular expression
within the parameter's range. Ranges (date, number, quantity) stay numbers beside the packed text fields.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from operator import itemgetter
from typing import Any, NamedTuple

from fhir_server.search.predicate import Entry, Param, Test, fields

TAB, ESCAPE, CUT = "\t", "\x01", "\x02"
LONGEST, KEPT = 400, 300  # characters: a longer key keeps its first 300 and a digest, so that index keys stay small
LISTS = 8  # long lists of keys that are kept: 25,000 are 4 MB with what they were made of
MARKS = {"token": "=", "reference": "@", "string": "~", "uri": ":", "quantity": "+", "number": "%", "date": "#"}
ORDER = {"token": "code system", "reference": "id type url version", "quantity": "code system unit",
         "string": "norm exact", "uri": "uri", "date": "", "number": ""}  # fmt: skip
PAIRED = (Param("code", "token"), Param("category", "token"))  # tokens that the compartment index pairs with a subject
ANY = f"[^{TAB}{CUT}]*"


class Shape(NamedTuple):
    """How the entries of one parameter are packed; numbers are positions in the entry tuple."""

    prefix: str  # parameter code and mark: also its name among the sort keys
    family: str  # array of the document: k (keys), d (dates), q (numbers, quantities)
    text: tuple[int, ...]
    names: tuple[str, ...]  # of the text fields, in packed order
    ranges: tuple[tuple[int, int], ...]  # (low, high) of each range component
    kind: str
    paired: bool  # a token that the compartment index pairs with its subject (document.PAIRED)
    sort: int  # position of the value that sorts; 0 for references and composites


class _Shapes(dict[Param, Shape]):
    def __missing__(self, param: Param) -> Shape:
        self[param] = found = _shape(param)
        return found


SHAPES = _Shapes()


def _shape(param: Param) -> Shape:
    places = {name: place for place, name in enumerate(fields(param.kind), 1)}
    parts = param.kind.split("$")
    numbered = [(f"{number}." if len(parts) > 1 else "", part) for number, part in enumerate(parts, 1)]
    told = [(at + name, place) for at, part in numbered for place, name in enumerate(ORDER[part].split())]
    ranges = tuple((places[at + "low"], places[at + "high"]) for at, _ in numbered if at + "low" in places)
    family = "d" if "date" in parts else "q" if ranges else "k"
    if family == "k":  # both codes of `a$b` before what is rarely asked of either: its range is that of the pair
        told.sort(key=itemgetter(1))
    names = tuple(name for name, _ in told)
    mark = MARKS[param.kind] if len(parts) == 1 else f"${param.kind}="
    text = tuple(places[name] for name in names)
    sort = {"token": 2, "date": 1, "number": 1, "quantity": 1, "string": 1, "uri": 1}.get(param.kind, 0)
    return Shape(param.code + mark, family, text, names, ranges, param.kind, param in PAIRED, sort)


def pack(shape: Shape, entry: Entry) -> str:
    """The whole key of an entry, not cut."""
    values = [entry[place] for place in shape.text]
    text = TAB.join(values)
    if text.count(TAB) >= len(values) or ESCAPE in text or CUT in text:
        text = TAB.join(map(escape, values))
    return shape.prefix + text


def cut(key: str) -> str:
    """The key as it is indexed: itself, or its beginning and a digest."""
    if len(key) <= LONGEST:
        return key
    return key[:KEPT] + CUT + blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def escape(value: str) -> str:
    """The value without the three characters that mean something in a key; injective, and prefixes stay prefixes."""
    return value.replace(ESCAPE, ESCAPE + "a").replace(TAB, ESCAPE + "b").replace(CUT, ESCAPE + "c")


def alias(code: str, type: str, id: str) -> str:
    """The second key of a local reference that also carries a url or a version, so that (type, id) stays exact."""
    return f"{code}^{id}{TAB}{type}"


class Exact(NamedTuple):
    """The packed key is one of these."""

    keys: list[str]


class Within(NamedTuple):
    """low <= packed key < high, and it matches `regex` if there is one."""

    low: str
    high: str
    regex: str | None


def condition(shape: Shape, code: str, tests: Iterable[Test]) -> Exact | Within:
    """What the tests on text fields say of the packed key; tests on range fields are left to `range_tests`."""
    asked: dict[str, list[tuple[str, Any]]] = {}
    tests = tuple(tests)
    if tests and tests[0][1] == "in":
        return Exact([*_all_listed(shape, code, tests[0][2])])
    for field, operator, value in tests:
        if field in shape.names:
            asked.setdefault(field, []).append((operator, value))
    equal = {field: found[0][1] for field, found in asked.items() if len(found) == 1 and found[0][0] == "="}
    if len(equal) == len(shape.names):
        return Exact([cut(shape.prefix + TAB.join(escape(equal[name]) for name in shape.names))])
    if shape.kind == "reference" and set(asked) == set(equal) == {"type", "id"} and equal["id"]:
        return Exact([local(shape, equal["type"], equal["id"]), alias(code, equal["type"], equal["id"])])
    return _within(shape, asked, equal)


@lru_cache(maxsize=LISTS)
def _all_listed(shape: Shape, code: str, wanted: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    return tuple(key for value in wanted for key in _listed(shape, code, value))


def _listed(shape: Shape, code: str, value: tuple[str, ...]) -> list[str]:
    """The keys of one value of an `in` test: (system, code) of a token, (type, id) of a reference."""
    if shape.kind == "token":
        return [cut(shape.prefix + TAB.join((escape(value[1]), escape(value[0]))))]
    return [local(shape, *value), alias(code, *value)]


def local(shape: Shape, type: str, id: str) -> str:
    """The key of a plain reference to a resource of this server."""
    return shape.prefix + TAB.join((escape(id), escape(type), "", ""))


def _within(shape: Shape, asked: dict[str, list[tuple[str, Any]]], equal: dict[str, Any]) -> Within:
    prefix, told = shape.prefix, 0
    for place, name in enumerate(shape.names):
        last = place == len(shape.names) - 1
        if name in equal and not last:
            prefix, told = prefix + escape(equal[name]) + TAB, told + 1
            continue
        if len(asked.get(name, ())) == 1 and asked[name][0][0] == "prefix":
            prefix, told = prefix + escape(asked[name][0][1]), told + 1
        break
    if told == len(asked) and len(prefix) <= KEPT:
        return Within(prefix, after(prefix), None)
    regex = "^" + literal(shape.prefix) + TAB.join(_pattern(asked.get(name, [])) for name in shape.names) + r"\z"
    return Within(prefix[:KEPT], after(prefix[:KEPT]), regex)


def literal(text: str) -> str:
    """A regular expression for exactly this text; MongoDB takes no NUL in it."""
    return re.escape(text).replace("\0", r"\x00")


def _pattern(tests: list[tuple[str, Any]]) -> str:
    patterns = [_one_pattern(operator, literal(escape(value))) for operator, value in tests]
    if len(patterns) < 2:
        return patterns[0] if patterns else ANY
    return "".join(f"(?={pattern}(?:{TAB}|\\z))" for pattern in patterns) + ANY


def _one_pattern(operator: str, text: str) -> str:
    match operator:
        case "=":
            return text
        case "prefix":
            return text + ANY
        case "suffix":
            return ANY + text
        case "contains":
            return ANY + text + ANY
    raise ValueError(f"operator {operator!r} is not defined on text")


def after(prefix: str) -> str:
    """The least string greater than all that start with `prefix` (its last code point plus one, surrogates skipped)."""
    point = ord(prefix[-1]) + 1
    if point > 0x10FFFF:
        return after(prefix[:-1])
    return prefix[:-1] + chr(0xE000 if 0xD800 <= point <= 0xDFFF else point)


COMPARE = {"=": "$eq", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}


def range_tests(shape: Shape, tests: Iterable[Test]) -> list[tuple[str, str, Any]]:
    """The tests on range fields as (name in the subdocument, MongoDB operator, value)."""
    names = fields(shape.kind)
    places: dict[str, str] = {}
    for (low, high), (low_name, high_name) in zip(shape.ranges, RANGE_NAMES, strict=False):
        places |= {names[low - 1]: low_name, names[high - 1]: high_name}
    return [(places[field], COMPARE[operator], bounded(value)) for field, operator, value in tests if field in places]


def bounded(value: float) -> float:
    """The value as a BSON number; an integer beyond 64 bits compares as its nearest double."""
    return value if isinstance(value, float) or -(1 << 63) <= value < 1 << 63 else float(value)


RANGE_NAMES = (("lo", "hi"), ("lo2", "hi2"), ("lo3", "hi3"), ("lo4", "hi4"))
