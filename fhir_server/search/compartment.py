"""What belongs to a compartment, as a predicate. https://hl7.org/fhir/R4/compartmentdefinition.html"""

from fhir_server.fhir.definitions import Definitions
from fhir_server.search.context import stand_ins
from fhir_server.search.index import param_of
from fhir_server.search.predicate import ID, Is, Or, Predicate


def in_compartment(definitions: Definitions, compartment: str, id: str, type: str) -> Predicate | None:
    """Membership of resources of `type` in the compartment of `compartment`/`id`; None where the type never belongs.

    The resource that the compartment is named for belongs to it as well.
    """
    codes = definitions.compartments.get(compartment, {}).get(type, ())
    found: list[Predicate] = [Is(ID, (("id", "=", id),))] if type == compartment else []
    for code in codes:
        if code == "_id":
            continue
        params, restricted = stand_ins(definitions, definitions.search[type][code])
        if restricted in ("", compartment):
            tests = (("type", "=", compartment), ("id", "=", id))
            found += [Is(param_of(param.code, "reference"), tests) for param in params]
    return Or(tuple(dict.fromkeys(found))) if found else None
