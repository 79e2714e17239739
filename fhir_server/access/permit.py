"""A caller's permit, AND-ed into a search wherever a resource is looked at. https://hl7.org/fhir/R4/security.html"""

from fhir_server.access.caller import Caller
from fhir_server.search.predicate import EVERYTHING, NOTHING, And, Chain, Has, Is, Not, Of, Or, Predicate, Sort

SEARCH, READ = "s", "r"


def restrict(where: Predicate, caller: Caller, types: tuple[str, ...], letter: str = SEARCH) -> Predicate:
    """`where` on resources of `types` for this caller: the permit is AND-ed at the root and inside every Chain and Has.

    A hidden resource thereby neither appears nor lends its values to a chain or `_has`, not even below a Not. What a
    chain looks at is searched, whatever the `letter` of the root. No types: all.
    """
    if caller.free:
        return where
    permit = permitted(caller, types, letter)
    inner = _inside(where, caller)
    if permit == EVERYTHING:
        return inner
    return permit if inner == EVERYTHING else And((permit, inner))


def shown(
    where: Predicate, caller: Caller, types: tuple[str, ...], sort: tuple[Sort, ...] = (), letter: str = SEARCH
) -> Predicate:
    """As `restrict`, with the resources that the caller may have in part, where nothing is asked that they hide.

    For readers that pass what they find through Caller.shown."""
    whole = restrict(where, caller, types, letter)
    if caller.partly is None:
        return whole
    parts = [whole]
    for limits in caller.partly.findable(where, sort):
        permits = caller.partly.permits[limits]
        permit = Or(tuple(Of((type,), permits(type, letter)) for type in types or caller.types))
        parts.append(And((permit, _inside(where, caller))))
    return Or(tuple(parts)) if len(parts) > 1 else whole


def permitted(caller: Caller, types: tuple[str, ...], letter: str) -> Predicate:
    """Which resources of several types (none: of all) the caller may do on what the letter stands for."""
    if caller.free:
        return EVERYTHING
    grouped: dict[Predicate, list[str]] = {}
    for type in types or caller.types:
        grouped.setdefault(caller.permit(type, letter), []).append(type)
    if len(grouped) == 1:
        return next(iter(grouped))
    grouped.pop(NOTHING, None)
    return Or(tuple(Of(tuple(group), permit) for permit, group in grouped.items()))


def _inside(where: Predicate, caller: Caller) -> Predicate:
    match where:
        case Is():
            return where
        case And(parts):
            return And(tuple(_inside(part, caller) for part in parts))
        case Or(parts):
            return Or(tuple(_inside(part, caller) for part in parts))
        case Not(part):
            return Not(_inside(part, caller))
        case Of(types, part):
            return Of(types, _inside(part, caller))
        case Chain(param, type_, part):
            return Chain(param, type_, restrict(part, caller, (type_,)))
        case Has(type_, param, part):
            return Has(type_, param, restrict(part, caller, (type_,)))
