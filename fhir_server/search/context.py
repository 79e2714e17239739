"""What the criteria of one search share, and where a parameter's definition is found. https://hl7.org/fhir/R4/searchparameter.html"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fhir_server.fhir.definitions import Definitions, SearchParam
from fhir_server.fhir.outcome import FhirError, Issue, refuse
from fhir_server.search.aliases import Alias, aliases
from fhir_server.search.known import Known
from fhir_server.search.predicate import Predicate

MOST_STEPS = 10  # links of one chain, `_has` included
MOST_PARTS = 2000  # leaves and links of the predicate: an untyped chain multiplies with each step

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
    """`special` holds the parameters that no expression defines; `parts` is what is left of the allowed size."""

    definitions: Definitions
    now: int
    base: str
    known: Known = field(default_factory=dict)
    special: Mapping[str, Callable[["Context", str, str], Predicate]] = field(default_factory=dict)
    parts: int = MOST_PARTS

    def spend(self, parts: int) -> None:
        """Raise FhirError 400 when the predicate has grown beyond its limit."""
        self.parts -= parts
        if self.parts < 0:
            raise refuse(
                400, "too-costly", "The search branches too much: give the types in the chain (subject:Patient)."
            )


def definition(definitions: Definitions, type: str, code: str) -> SearchParam:
    """The definition of a parameter of a type. Raises Unsupported."""
    found = definitions.search[type].get(code)
    if found is None or not found.expression or found.kind == "special":
        raise unsupported(f"{type} has no search parameter {code[:60]!r}.")
    return found


def stand_ins(definitions: Definitions, param: SearchParam) -> tuple[tuple[SearchParam, ...], str]:
    """The parameters that are indexed in the place of this one (itself, unless it is an alias), and the type to which
    its references are restricted ("": none)."""
    alias = aliases(definitions, param.type).get(param.code, Alias((param.code,)))
    params = definitions.search[param.type]
    return tuple(params.get(code, param) for code in alias.codes), alias.type
