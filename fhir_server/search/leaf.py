"""A parameter, its modifier and its values to a predicate on one resource. https://hl7.org/fhir/R4/search.html#modifiers"""

from collections.abc import Callable, Iterator, Sequence

from fhir_server.fhir.definitions import SearchParam
from fhir_server.fhir.outcome import refuse
from fhir_server.fhir.paths import routes
from fhir_server.search.context import Context, stand_ins, unsupported
from fhir_server.search.entries import fold
from fhir_server.search.index import kind_of, param_of
from fhir_server.search.params import MODIFIERS, TESTS, date, reference, token
from fhir_server.search.params.value import Alternatives, Ask, Tests, bad, split, unescape
from fhir_server.search.predicate import ID, UPDATED, Is, Not, Or, Predicate
from fhir_server.search.words import has_text

NEGATIONS = {"not": "", "not-in": "in"}  # each is the negation of another, made of the whole list of values


def leaf(context: Context, param: SearchParam, modifier: str, text: str) -> Predicate:
    """`param:modifier=text`, the values of `text` separated by commas; a resource may have any of them.

    Raises FhirError 400 (Unsupported where the modifier is unknown), Needed where codes must be looked up first.
    """
    modifier = "of-type" if modifier == "ofType" else modifier
    name = f"{param.code}:{modifier}" if modifier else param.code
    ask = Ask(param, name, context.now, context.base, context.known)
    if modifier == "missing":
        if text not in ("true", "false"):
            raise bad(ask, text, "true or false")
        present = _any(context, param, ((),))
        return Not(present) if text == "true" else present
    check_modifier(context, param, modifier)
    values = split(text, ",")
    if not all(values):
        raise bad(ask, text, "a value (a comma in a value is written as \\,)")
    if modifier in NEGATIONS:
        return Not(_positive(context, param, NEGATIONS[modifier], values, ask))
    return _positive(context, param, modifier, values, ask)


def check_modifier(context: Context, param: SearchParam, modifier: str) -> None:
    """Raise FhirError 400 unless the parameter takes the modifier, which may be the type of a reference."""
    if not modifier or modifier in MODIFIERS.get(param.kind, ()):
        if modifier != "of-type" or _is_identifier(context, param):
            return
    elif param.kind == "reference" and modifier in context.definitions.resources:
        if param.target and modifier not in param.target:
            raise refuse(400, "invalid", f"{param.code!r} does not refer to a {modifier}, {targets(param)}.")
        return
    known = ", ".join(sorted({*MODIFIERS.get(param.kind, ()), "missing"}))
    raise unsupported(f"Modifier {modifier[:60]!r} of {param.code!r} is not supported; these are: {known}.")


def targets(param: SearchParam) -> str:
    """What a reference may refer to, for a message."""
    return "but to " + ", ".join(sorted(param.target)[:8]) + (", ..." if len(param.target) > 8 else "")


def _is_identifier(context: Context, param: SearchParam) -> bool:
    try:
        return any(route.type == "Identifier" for route in routes(param.expression, param.type, context.definitions))
    except ValueError:
        return False


def _positive(context: Context, param: SearchParam, modifier: str, values: Sequence[str], ask: Ask) -> Predicate:
    match modifier:
        case "text":
            return _texts(context, param, values, ask)
        case "identifier":
            return _pseudo(context, param, modifier, "token", _all(token.tests, values, "", ask))
        case "of-type":
            return _pseudo(context, param, modifier, "token$token", _all(token.of_type, values, "", ask))
        case "below" if param.kind == "reference":
            plain = _any(context, param, _all(reference.below, values, modifier, ask))
            parts = _all(reference.below_version, values, modifier, ask)
            return _or(context, [plain, _pseudo(context, param, modifier, "uri", parts)]) if parts else plain
    parser = _parser(param)
    found = _any(context, param, _all(parser, values, modifier, ask))
    if param.kind == "quantity" or "quantity" in kind_of(param).split("$"):
        converted = _all(parser, values, modifier, ask._replace(canonical_only=True))
        if converted:
            return _or(context, [found, _pseudo(context, param, "ucum", kind_of(param), converted)])
    return found


def _all(
    parser: Callable[[str, str, Ask], Alternatives], values: Sequence[str], modifier: str, ask: Ask
) -> Alternatives:
    return tuple(alternative for value in values for alternative in parser(value, modifier, ask))


def _parser(param: SearchParam) -> Callable[[str, str, Ask], Alternatives]:
    if param.kind == "id":
        return lambda text, modifier, ask: ((("id", "=", unescape(text)),),)
    return date.instant_tests if param.kind == "updated" else TESTS[param.kind]


def _texts(context: Context, param: SearchParam, values: Sequence[str], ask: Ask) -> Predicate:
    for value in values:
        if not fold(unescape(value)):
            raise bad(ask, value, "some letters or digits")
    params, _ = stand_ins(context.definitions, param)
    return _or(context, [has_text(one.code, unescape(value)) for one in params for value in values])


def _pseudo(context: Context, param: SearchParam, ending: str, kind: str, alternatives: Alternatives) -> Predicate:
    """Some entry of a pseudo-parameter (extras.py) meets some alternative. An alias of one type has its own."""
    params, type = stand_ins(context.definitions, param)
    codes = [param.code] if type else [one.code for one in params]
    return _or(context, [Is(param_of(f"{code}:{ending}", kind), tests) for code in codes for tests in alternatives])


def _any(context: Context, param: SearchParam, alternatives: Alternatives) -> Predicate:
    """Some entry of the parameter, or of those that stand in for it, meets all tests of some alternative."""
    if param.kind in ("id", "updated"):
        column = ID if param.kind == "id" else UPDATED
        return _or(context, [Is(column, tests) for tests in dict.fromkeys(alternatives)])
    params, type = stand_ins(context.definitions, param)
    if type:
        alternatives = tuple(found for tests in alternatives for found in _referring_to(type, tests))
    distinct = dict.fromkeys(alternatives)
    return _or(context, [Is(param_of(one.code, kind_of(one)), tests) for one in params for tests in distinct])


def _referring_to(type: str, tests: Tests) -> Iterator[Tests]:
    """The tests with that of the type among them; none when they ask for another type. A URL elsewhere has no type."""
    fields = {field: value for field, _, value in tests}
    if "type,id" in fields:
        yield (("type,id", "in", tuple(pair for pair in fields["type,id"] if pair[0] == type)),)
    elif "url" in fields or fields.get("type") == type:
        yield tests
    elif "type" not in fields:
        yield (("type", "=", type), *tests)


def _or(context: Context, parts: Sequence[Predicate]) -> Predicate:
    context.spend(len(parts))
    return parts[0] if len(parts) == 1 else Or(tuple(parts))
