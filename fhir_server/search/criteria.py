"""One search criterion, `name=value`, to a predicate: modifiers, chains, `_has`. https://hl7.org/fhir/R4/search.html#chaining"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fhir_server.fhir.definitions import Definitions, SearchParam
from fhir_server.fhir.outcome import FhirError, Issue, refuse
from fhir_server.search.aliases import Alias, aliases
from fhir_server.search.index import kind_of, param_of
from fhir_server.search.params import MODIFIERS, TESTS, date
from fhir_server.search.params.value import Alternatives, Ask, Tests, bad, split, unescape
from fhir_server.search.predicate import ID, UPDATED, Chain, Has, Is, Not, Or, Predicate

MOST_STEPS = 10  # links of one chain, `_has` included
MOST_PARTS = 2000  # leaves and links of the predicate: an untyped chain multiplies with each step

# Parameters of R4 that this server does not search by.
UNSUPPORTED = frozenset(
    {"_text", "_content", "_query", "_filter", "_list", "_contained", "_containedType", "_score", "near"}
)

# What the store keeps in columns rather than in entries; the definitions call it a token and a date.
COLUMNS = {
    "_id": SearchParam("Resource", "_id", "id", "Resource.id", frozenset(), (), ""),
    "_lastUpdated": SearchParam(
        "Resource", "_lastUpdated", "updated", "Resource.meta.lastUpdated", frozenset(), (), ""
    ),
}


class Unsupported(FhirError):
    """A parameter or modifier that we do not know: what `Prefer: handling=lenient` lets a search leave out."""


def unsupported(diagnostics: str) -> Unsupported:
    """The refusal of what is unknown, 400 and `not-supported`."""
    return Unsupported(400, (Issue("not-supported", diagnostics),))


@dataclass(slots=True)
class Context:
    """What the criteria of one search share; `parts` is what is left of the predicate's allowed size."""

    definitions: Definitions
    now: int
    base: str
    parts: int = MOST_PARTS

    def spend(self, parts: int) -> None:
        """Raise FhirError 400 when the predicate has grown beyond its limit."""
        self.parts -= parts
        if self.parts < 0:
            raise refuse(
                400, "too-costly", "The search branches too much: give the types in the chain (subject:Patient)."
            )


def criterion(context: Context, type: str, name: str, text: str, steps: int = MOST_STEPS) -> Predicate:
    """The predicate of one criterion on resources of `type`.

    Raises FhirError 400 (Unsupported where the name or modifier is unknown) that says what was expected.
    """
    context.spend(1)
    if steps == 0:
        raise refuse(400, "too-costly", f"A chain has at most {MOST_STEPS} steps.")
    if name.startswith("_has:"):
        return _has(context, type, name, text, steps)
    link, dot, rest = name.partition(".")
    if dot:
        return _chain(context, type, link, rest, text, steps)
    code, _, modifier = name.partition(":")
    param = definition(context.definitions, type, code)
    return _leaf(context, COLUMNS.get(code, param), modifier, text)


def definition(definitions: Definitions, type: str, code: str) -> SearchParam:
    """The definition of a parameter of a type. Raises Unsupported."""
    found = definitions.search[type].get(code)
    if code in UNSUPPORTED or (found is not None and found.kind == "special"):
        raise unsupported(f"Search parameter {code[:60]!r} is not supported.")
    if found is None or not found.expression:
        raise unsupported(f"{type} has no search parameter {code[:60]!r}.")
    return found


def stand_ins(definitions: Definitions, param: SearchParam) -> tuple[tuple[SearchParam, ...], str]:
    """The parameters that are indexed in the place of this one (itself, unless it is an alias), and the type to which
    its references are restricted ("": none)."""
    alias = aliases(definitions, param.type).get(param.code, Alias((param.code,)))
    params = definitions.search[param.type]
    return tuple(params.get(code, param) for code in alias.codes), alias.type


def _leaf(context: Context, param: SearchParam, modifier: str, text: str) -> Predicate:
    name = f"{param.code}:{modifier}" if modifier else param.code
    ask = Ask(param, name, context.now, context.base)
    if modifier == "missing":
        if text not in ("true", "false"):
            raise bad(ask, text, "true or false")
        present = _any(context, param, ((),))
        return Not(present) if text == "true" else present
    _check_modifier(context, param, modifier)
    values = split(text, ",")
    if not all(values):
        raise bad(ask, text, "a value (a comma in a value is written as \\,)")
    tests = _parser(param)
    type = "" if modifier == "not" else modifier
    found = _any(context, param, tuple(alternative for value in values for alternative in tests(value, type, ask)))
    return Not(found) if modifier == "not" else found


def _check_modifier(context: Context, param: SearchParam, modifier: str) -> None:
    if not modifier or modifier in MODIFIERS.get(param.kind, ()):
        return
    if param.kind == "reference" and modifier in context.definitions.resources:
        if param.target and modifier not in param.target:
            raise refuse(400, "invalid", f"{param.code!r} does not refer to a {modifier}, {_targets(param)}.")
        return
    known = ", ".join(sorted({*MODIFIERS.get(param.kind, ()), "missing"}))
    raise unsupported(f"Modifier {modifier[:60]!r} of {param.code!r} is not supported; these are: {known}.")


def _parser(param: SearchParam) -> Callable[[str, str, Ask], Alternatives]:
    if param.kind == "id":
        return lambda text, modifier, ask: ((("id", "=", unescape(text)),),)
    return date.instant_tests if param.kind == "updated" else TESTS[param.kind]


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


def _referring_to(type: str, tests: Tests) -> Alternatives:
    """The tests with that of the type among them; none when they ask for another type. A URL elsewhere has no type."""
    fields = {field: value for field, _, value in tests}
    if "url" in fields or fields.get("type") == type:
        return (tests,)
    return () if "type" in fields else ((("type", "=", type), *tests),)


def _or(context: Context, parts: Sequence[Predicate]) -> Predicate:
    context.spend(len(parts))
    return parts[0] if len(parts) == 1 else Or(tuple(parts))


def _chain(context: Context, type: str, link: str, rest: str, text: str, steps: int) -> Predicate:
    """`link.rest=text`, where link is a reference parameter, perhaps with the type it refers to."""
    code, _, modifier = link.partition(":")
    param = _reference(context, type, code)
    _check_modifier(context, param, modifier)
    params, restricted = stand_ins(context.definitions, param)
    targets = {modifier or restricted} if modifier or restricted else param.target or context.definitions.resources
    if modifier and restricted and modifier != restricted:
        raise refuse(400, "invalid", f"{code!r} refers to {restricted}, not to {modifier}.")
    found: list[Predicate] = []
    errors: list[FhirError] = []
    for target in sorted(targets):
        try:
            inner = criterion(context, target, rest, text, steps - 1)
        except FhirError as error:
            if context.parts < 0 or steps == 1:
                raise
            errors.append(error)
            continue
        found += [Chain(param_of(one.code, "reference"), target, inner) for one in params]
    if not found:
        # Of several refusals the one by a type that knows the parameter says most.
        wrong = next((error for error in errors if not isinstance(error, Unsupported)), None)
        if wrong is None and len(errors) > 1:
            raise unsupported(f"No type that {code!r} of {type} refers to can be searched by {rest[:60]!r}.")
        raise wrong or errors[0]
    return _or(context, found)


def _has(context: Context, type: str, name: str, text: str, steps: int) -> Predicate:
    """`_has:Type:reference:rest=text`: some resource of Type refers to this one and meets the rest."""
    parts = name.split(":", 3)
    if len(parts) != 4 or not parts[3]:
        raise unsupported(
            f"{name[:60]!r} is not complete: _has:Type:reference:parameter, as _has:Observation:patient:code."
        )
    _, source, code, rest = parts
    if source not in context.definitions.resources:
        raise unsupported(f"{name[:60]!r}: R4 has no resource type {source[:60]!r}.")
    param = _reference(context, source, code)
    params, restricted = stand_ins(context.definitions, param)
    if (param.target and type not in param.target) or restricted not in ("", type):
        raise refuse(400, "invalid", f"{name[:60]!r}: {source}.{code} does not refer to a {type}, {_targets(param)}.")
    inner = criterion(context, source, rest, text, steps - 1)
    return _or(context, [Has(source, param_of(one.code, "reference"), inner) for one in params])


def _reference(context: Context, type: str, code: str) -> SearchParam:
    param = definition(context.definitions, type, code)
    if param.kind != "reference":
        raise unsupported(f"{code!r} of {type} is a {param.kind} parameter: only references can be followed.")
    return param


def _targets(param: SearchParam) -> str:
    return "but to " + ", ".join(sorted(param.target)[:8]) + (", ..." if len(param.target) > 8 else "")
