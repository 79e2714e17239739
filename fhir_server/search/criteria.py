"""One search criterion, `name=value`, to a predicate: chains, `_has`, special parameters. https://hl7.org/fhir/R4/search.html#chaining"""

from collections.abc import Callable

from fhir_server.fhir.definitions import SearchParam
from fhir_server.fhir.outcome import FhirError, refuse
from fhir_server.search.context import (
    COLUMNS,
    MOST_STEPS,
    Context,
    Unsupported,
    definition,
    stand_ins,
    unsupported,
)
from fhir_server.search.index import param_of
from fhir_server.search.known import Needed
from fhir_server.search.leaf import check_modifier, leaf, targets
from fhir_server.search.predicate import Chain, Has, Or, Predicate


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
        return chain(context, type, link, lambda target: criterion(context, target, rest, text, steps - 1), rest)
    if name in context.special:
        return context.special[name](context, type, text)
    code, _, modifier = name.partition(":")
    param = definition(context.definitions, type, code)
    return leaf(context, COLUMNS.get(code, param), modifier, text)


def chain(context: Context, type: str, link: str, follow: Callable[[str], Predicate], rest: str) -> Predicate:
    """What `link`, a reference parameter, perhaps with the type it refers to, leads to meets `follow` of its type;
    `rest` describes that for messages."""
    code, _, modifier = link.partition(":")
    param = _reference(context, type, code)
    if modifier in ("identifier", "above", "below"):
        raise unsupported(f"{link[:60]!r} cannot be followed: a chain takes the name of a type as modifier.")
    check_modifier(context, param, modifier)
    params, restricted = stand_ins(context.definitions, param)
    types = {modifier or restricted} if modifier or restricted else param.target or context.definitions.resources
    if modifier and restricted and modifier != restricted:
        raise refuse(400, "invalid", f"{code!r} refers to {restricted}, not to {modifier}.")
    found: list[Predicate] = []
    errors: list[FhirError] = []
    for target in sorted(types):
        try:
            inner = follow(target)
        except Needed:
            raise
        except FhirError as error:
            if error.issues[0].code == "too-costly":
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
    context.spend(len(found))
    return found[0] if len(found) == 1 else Or(tuple(found))


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
        raise refuse(400, "invalid", f"{name[:60]!r}: {source}.{code} does not refer to a {type}, {targets(param)}.")
    inner = criterion(context, source, rest, text, steps - 1)
    found = [Has(source, param_of(one.code, "reference"), inner) for one in params]
    context.spend(len(found))
    return found[0] if len(found) == 1 else Or(tuple(found))


def _reference(context: Context, type: str, code: str) -> SearchParam:
    param = definition(context.definitions, type, code)
    if param.kind != "reference":
        raise unsupported(f"{code!r} of {type} is a {param.kind} parameter: only references can be followed.")
    return param
