"""The parameters of a search to a Search. https://hl7.org/fhir/R4/search.html"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fhir_server.fhir.definitions import Definitions
from fhir_server.fhir.outcome import refuse
from fhir_server.search.context import COLUMNS, Context, Unsupported, definition, stand_ins, unsupported
from fhir_server.search.criteria import criterion
from fhir_server.search.index import param_of
from fhir_server.search.known import NOTHING_KNOWN, Known
from fhir_server.search.params.value import split
from fhir_server.search.predicate import EVERYTHING, ID, UPDATED, And, Not, Or, Predicate, Sort
from fhir_server.search.query import Include, Search
from fhir_server.search.special import SPECIAL

Pairs = Sequence[tuple[str, str]]

MOST_VALUES = 200  # in all criteria of a search together
MOST_COUNT = 1_000_000_000  # any larger _count says the same
TOTALS = ("none", "estimate", "accurate")
SUMMARIES = ("true", "text", "data", "count", "false")
SORTABLE = ("token", "reference", "date", "number", "quantity", "string", "uri")
BARE = "Parameters"

# About the form of the answer: read where requests are answered.
FORM = frozenset({"_format", "_pretty", "_explain"})


def parse_search(
    definitions: Definitions,
    type: str | None,
    pairs: Pairs,
    lenient: bool,
    now: int,
    base: str,
    known: Known = NOTHING_KNOWN,
) -> Search:
    """Read the decoded name-value pairs of a search on `type` (None: on all types, or those of `_type`).

    `now` (µs) is what `ap` measures from, `base` the URL under which references are ours. Raises FhirError 400 for a
    bad value and, unless `lenient`, for a parameter or modifier that is not known and for an empty value. Raises Needed
    for what must be looked up first; the answers come back in `known`.
    """
    types = (type,) if type else _types(definitions, pairs)
    reader = _Reader(Context(definitions, now, base, known, SPECIAL), types)
    if sum(len(split(text, ",")) for name, text in pairs if name not in RESULT) > MOST_VALUES:
        raise refuse(400, "too-costly", f"A search takes at most {MOST_VALUES} values.")
    for name, text in pairs:
        try:
            if not text and name not in FORM:
                raise unsupported(f"Search parameter {name[:60]!r} has no value.")
            reader.read(name, text, of_all=type is None)
        except Unsupported:
            if not lenient:
                raise
            reader.ignored.append(name)
            continue
        reader.used.append((name, text))
    return reader.search()


class _Reader:
    """Collects the parts of one search."""

    def __init__(self, context: Context, types: tuple[str, ...]) -> None:
        self.context = context
        self.types = types
        self.where: list[Predicate] = []
        self.includes: list[Include] = []
        self.ignored: list[str] = []
        self.used: list[tuple[str, str]] = []
        self.said: dict[str, Any] = {}

    def read(self, name: str, text: str, of_all: bool) -> None:
        head, _, modifier = name.partition(":")
        if head in ("_include", "_revinclude"):
            self.includes.append(_include(self.context.definitions, head == "_revinclude", modifier, text))
        elif name in RESULT:
            if name in self.said:
                raise refuse(400, "invalid", f"Search parameter {name!r} can be given once only.")
            self.said[name] = RESULT[name](self, text)
        elif name not in FORM and not (of_all and name == "_type"):
            self.where.append(self.criterion(name, text))

    def criterion(self, name: str, text: str) -> Predicate:
        """Over several types: what all of them understand, the same way or in one of a few ways."""
        try:
            found = dict.fromkeys(criterion(self.context, one, name, text) for one in self.representatives())
        except Unsupported:
            if self.types:
                raise
            raise unsupported(f"A search of all types does not know {name[:60]!r}: name the types in _type.") from None
        if len(found) == 1:
            return next(iter(found))
        if any(_negative(part) for part in found):
            raise refuse(
                400, "too-costly", f"{name[:60]!r} means different things for these types: search them singly."
            )
        return Or(tuple(found))

    def representatives(self) -> tuple[str, ...]:
        # A search of all types takes what R4 defines on Resource; Parameters is a type with nothing beyond that.
        return self.types or (BARE,)

    def sort(self, text: str) -> tuple[Sort, ...]:
        return tuple(self.sort_key(key) for key in text.split(","))

    def sort_key(self, key: str) -> Sort:
        code, descending = key.removeprefix("-"), key.startswith("-")
        if code in COLUMNS:
            return Sort(ID if code == "_id" else UPDATED, descending)
        keys = {self.sort_param(one, code, descending) for one in self.representatives()}
        if len(keys) > 1:
            raise refuse(400, "invalid", f"_sort: {code!r} is not the same parameter for all of these types.")
        return keys.pop()

    def sort_param(self, type: str, code: str, descending: bool) -> Sort:
        param = definition(self.context.definitions, type, code)
        params, _ = stand_ins(self.context.definitions, param)
        if param.kind not in SORTABLE or len(params) > 1:
            raise refuse(400, "not-supported", f"_sort: {type} cannot be sorted by {code!r}.")
        return Sort(param_of(params[0].code, params[0].kind), descending)

    def search(self) -> Search:
        where = self.where[0] if len(self.where) == 1 else And(tuple(self.where)) if self.where else EVERYTHING
        return Search(
            types=self.types,
            where=where,
            sort=self.said.get("_sort", ()),
            count=self.said.get("_count"),
            total=self.said.get("_total"),
            summary=self.said.get("_summary"),
            elements=self.said.get("_elements", ()),
            includes=tuple(dict.fromkeys(self.includes)),
            contained=self.said.get("_contained", "false"),
            contained_type=self.said.get("_containedType", "container"),
            ignored=tuple(self.ignored),
            used=tuple(self.used),
        )


def _negative(where: Predicate) -> bool:
    match where:
        case Not():
            return True
        case Or(parts) | And(parts):
            return any(_negative(part) for part in parts)
    return False


def _types(definitions: Definitions, pairs: Pairs) -> tuple[str, ...]:
    given = [part for name, text in pairs if name == "_type" for part in text.split(",") if part]
    for type in given:
        if type not in definitions.resources:
            raise refuse(400, "value", f"_type: R4 has no resource type {type[:60]!r}.")
    return tuple(dict.fromkeys(given))


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise refuse(400, "value", f"_count: {text[:60]!r} is not a number of resources, 0 or more.")
    return min(int(text[:30]), MOST_COUNT)


def _one_of(name: str, allowed: Iterable[str]) -> Callable[[_Reader, str], str]:
    def read(reader: _Reader, text: str) -> str:
        if text not in allowed:
            raise refuse(400, "value", f"{name}: {text[:60]!r} is not one of {', '.join(allowed)}.")
        return text

    return read


def _include(definitions: Definitions, reverse: bool, modifier: str, text: str) -> Include:
    name = "_revinclude" if reverse else "_include"
    if modifier not in ("", "iterate", "recurse"):
        raise unsupported(f"{name} has no modifier {modifier[:60]!r}, only iterate.")
    if text == "*":
        return Include("*", "*", "", reverse, bool(modifier))
    type, _, rest = text.partition(":")
    code, _, target = rest.partition(":")
    if not code or type not in definitions.resources or target not in (*definitions.resources, ""):
        raise refuse(400, "value", f"{name}: {text[:60]!r} is not Type:parameter or Type:parameter:Target.")
    if code != "*":
        param = definition(definitions, type, code)
        if param.kind != "reference":
            raise refuse(400, "value", f"{name}: {code!r} of {type} is a {param.kind} parameter, not a reference.")
        if target and param.target and target not in param.target:
            raise refuse(400, "value", f"{name}: {code!r} of {type} does not refer to a {target}.")
    return Include(type, code, target, reverse, bool(modifier))


# What a search says of its answer, each at most once.
RESULT: Mapping[str, Callable[[_Reader, str], Any]] = {
    "_count": lambda reader, text: _count(text),
    "_sort": _Reader.sort,
    "_total": _one_of("_total", TOTALS),
    "_summary": _one_of("_summary", SUMMARIES),
    "_contained": _one_of("_contained", ("false", "true", "both")),
    "_containedType": _one_of("_containedType", ("container", "contained")),
    "_elements": lambda reader, text: tuple(part for part in text.split(",") if part),
}

__all__ = ["Include", "Search", "parse_search"]
