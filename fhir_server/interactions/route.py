"""From a method and a path below the base to an interaction and its arguments. https://hl7.org/fhir/R4/http.html#summary"""

from collections.abc import Mapping
from typing import Any

from fhir_server.fhir.outcome import FhirError, refuse
from fhir_server.interactions.draft import ID
from fhir_server.interactions.table import LITERAL, Found, Interaction, shape_of
from fhir_server.server import Server


def arguments(
    server: Server, shapes: Mapping[str, Found], method: str, path: str
) -> tuple[Interaction, dict[str, Any]]:
    """The row of the table and the variable parts of the path.

    Raises FhirError 404 for an unknown address, type or impossible id (400 when it is to be written), 405 for a method
    that the address does not take.
    """
    parts = path.split("/")
    found = shapes.get(path) or shapes.get(shape_of(parts))
    if found is None and parts[-1][:1] == "$":
        raise _no_operation(shapes, parts[-1])
    if found is None:
        raise refuse(404, "not-found", f"There is nothing at this address: {path[:100]!r}.")
    row = found.methods.get(method)
    if row is None:
        allowed = ", ".join(found.methods)
        raise refuse(405, "not-supported", f"{method[:20]!r} is not possible here: use {allowed}.", Allow=allowed)
    variable = [part for part in parts if part[:1] not in LITERAL] if found.names else ()
    given = dict(zip(found.names, variable, strict=True))
    for name, value in given.items():
        if name == "id":
            if not ID.fullmatch(value):
                raise refuse(400 if method == "PUT" else 404, "value", f"{value[:80]!r} is not an id.")
        elif name == "type" and value == "*" and "compartment" in given:
            continue  # of all types
        elif name != "version" and value not in server.definitions.resources:
            raise refuse(404, "not-supported", f"R4 has no resource type {value[:64]!r}.")
    return row, given


def _no_operation(shapes: Mapping[str, Found], name: str) -> FhirError:
    """What is wrong with the address of an operation. https://hl7.org/fhir/R4/operations.html#executing"""
    levels = {"": "[base]", "*": "[base]/Type", "*/*": "[base]/Type/id"}
    # A shape may name its type: R4 has no ViewDefinition.
    before = [shape.rpartition("/")[0] for shape in shapes if shape.rpartition("/")[2] == name]
    at = [f"{levels.get(one, f'[base]/{one}')}/{name}" for one in before]
    if at:
        return refuse(400, "not-supported", f"{name} is not called here, but at {' or '.join(at)}.")
    known = sorted({end for shape in shapes if (end := shape.rpartition("/")[2])[:1] == "$"})
    among = f": there are {', '.join(known)}" if known else ""
    return refuse(404, "not-supported", f"There is no operation {name[:60]!r}{among}.")
