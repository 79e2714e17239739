"""A caller's permit, AND-ed into a search wherever a resource is looked at. https://hl7.org/fhir/R4/security.html"""

from fhir_server.access.caller import Caller
from fhir_server.search.predicate import EVERYTHING, And, Chain, Has, Is, Not, Or, Predicate


def restrict(where: Predicate, caller: Caller) -> Predicate:
    """`where` for this caller: the permit is AND-ed at the root and inside every Chain and Has.

    A hidden resource thereby neither appears nor lends its values to a chain or `_has`, not even below a Not.
    """
    if caller.permit == EVERYTHING:
        return where
    inner = _inside(where, caller)
    return caller.permit if inner == EVERYTHING else And((caller.permit, inner))


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
        case Chain(param, type_, part):
            return Chain(param, type_, restrict(part, caller))
        case Has(type_, param, part):
            return Has(type_, param, restrict(part, caller))
