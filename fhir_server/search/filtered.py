"""`_filter`: its expression to the same predicates as other criteria. https://hl7.org/fhir/R4/search_filter.html

Values of tokens, URIs and references are compared letter for letter as everywhere here, those of strings folded. `ne`
of these kinds means: has a value, and none that is equal.
"""

from collections.abc import Callable, Mapping

from fhir_server.fhir.dates import bounds
from fhir_server.fhir.definitions import SearchParam
from fhir_server.fhir.outcome import refuse
from fhir_server.search.context import COLUMNS, Context, definition, stand_ins
from fhir_server.search.criteria import chain, criterion
from fhir_server.search.entries import fold
from fhir_server.search.filter_syntax import Both, Either, Negation, Node, Step, Test, parse
from fhir_server.search.index import param_of
from fhir_server.search.leaf import leaf
from fhir_server.search.params.value import PREFIXES
from fhir_server.search.predicate import And, Is, Not, Or, Predicate

ORDERED = ("date", "updated", "number", "quantity")


def filtered(context: Context, type: str, text: str) -> Predicate:
    """The predicate of a filter. Raises FhirError 400 with the place where it cannot be read."""
    return _compile(context, type, parse(text))


def _compile(context: Context, type: str, node: Node) -> Predicate:
    context.spend(1)
    match node:
        case Both(parts):
            return And(tuple(_compile(context, type, part) for part in parts))
        case Either(parts):
            return Or(tuple(_compile(context, type, part) for part in parts))
        case Negation(part):
            return Not(_compile(context, type, part))
        case Test(path, operator, value):
            return _test(context, type, path, operator, value)


def _test(context: Context, type: str, path: tuple[Step, ...], operator: str, value: str) -> Predicate:
    (name, inside), *rest = path
    if rest:

        def follow(target: str) -> Predicate:
            then = _test(context, target, tuple(rest), operator, value)
            return And((_compile(context, target, inside), then)) if inside is not None else then

        return chain(context, type, name, follow, rest[0].name)
    if name.startswith("_has:"):
        if operator != "eq":
            raise refuse(400, "not-supported", f"_filter: {name[:60]!r} takes eq only.")
        return criterion(context, type, name, _escaped(value))
    return _compare(context, COLUMNS.get(name) or definition(context.definitions, type, name), operator, value)


def _compare(context: Context, param: SearchParam, operator: str, value: str) -> Predicate:
    if operator == "pr":
        if value not in ("true", "false"):
            raise refuse(400, "value", f"_filter: pr takes true or false, not {value[:40]!r}.")
        return leaf(context, param, "missing", "false" if value == "true" else "true")
    if operator in PREFIXES and param.kind in ORDERED:
        return leaf(context, param, "", operator + _escaped(value))
    if operator == "ne":
        return And((leaf(context, param, "missing", "false"), Not(_compare(context, param, "eq", value))))
    found = OPERATORS.get((operator, param.kind))
    if found is None:
        raise refuse(400, "not-supported", f"_filter: {operator} cannot compare {param.code!r}, a {param.kind}.")
    return found(context, param, value)


def _by(modifier: str) -> Callable[[Context, SearchParam, str], Predicate]:
    return lambda context, param, value: leaf(context, param, modifier, _escaped(value))


def _text(field: str, operator: str) -> Callable[[Context, SearchParam, str], Predicate]:
    def compare(context: Context, param: SearchParam, value: str) -> Predicate:
        wanted = fold(value) if field == "norm" else value
        if not wanted:
            raise refuse(400, "value", f"_filter: {value[:40]!r} has nothing to compare {param.code!r} with.")
        params, _ = stand_ins(context.definitions, param)
        return Or(tuple(Is(param_of(one.code, one.kind), ((field, operator, wanted),)) for one in params))

    return compare


def _overlap(context: Context, param: SearchParam, value: str) -> Predicate:
    """The periods share some time: neither ends before the other begins."""
    try:
        start, end = bounds(value)
    except ValueError:
        raise refuse(400, "value", f"_filter: {value[:40]!r} is not a date for {param.code!r}.") from None
    params, _ = stand_ins(context.definitions, param)
    tests = (("low", "<", end), ("high", ">", start))
    return Or(tuple(Is(param_of(one.code, "date"), tests) for one in params))


def _escaped(value: str) -> str:
    r"""A value in which only `|` and `$` mean something: there are no lists in a filter."""
    return value.replace("\\", "\\\\").replace(",", "\\,")


OPERATORS: Mapping[tuple[str, str], Callable[[Context, SearchParam, str], Predicate]] = {
    **{("eq", kind): _by("") for kind in ("token", "reference", "uri", "id", "composite")},
    ("eq", "string"): _text("norm", "="),
    ("co", "string"): _text("norm", "contains"),
    ("sw", "string"): _text("norm", "prefix"),
    ("ew", "string"): _text("norm", "suffix"),
    ("co", "uri"): _text("uri", "contains"),
    ("sw", "uri"): _text("uri", "prefix"),
    ("ew", "uri"): _text("uri", "suffix"),
    ("co", "token"): _by("text"),
    ("in", "token"): _by("in"),
    ("ss", "token"): _by("below"),
    ("sb", "token"): _by("above"),
    ("ss", "reference"): _by("below"),
    ("sb", "reference"): _by("above"),
    ("re", "reference"): _by(""),
    ("po", "date"): _overlap,
}
