"""Resources that a caller may have in part: found by what stays of them, shown without the rest. docs/consent.md"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fhir_server.access.deidentify import deidentified, without_contact
from fhir_server.access.pseudonyms import Pseudonyms, moved_by
from fhir_server.access.rules import Limits
from fhir_server.fhir import codec
from fhir_server.fhir.definitions import Definitions
from fhir_server.search.predicate import And, Chain, Has, Is, Not, Of, Or, Param, Predicate, Sort
from fhir_server.store.seam import Stored

CONTACT = frozenset({"phone", "email", "telecom", "_text", "_content"})
# Tokens that say who it is; what is no token or number may be a name or a day.
NAMING = frozenset({"identifier", "phone", "email", "telecom", "accession", "group-identifier", "patient-identifier"})


@dataclass(frozen=True, slots=True)
class Partly:
    """What a caller may have in part: for each Limits a predicate, and how such a resource is shown."""

    permits: Mapping[Limits, Callable[[str, str], Predicate]]  # (type, letter) -> which resources
    show: Callable[[Stored], Stored]  # the resource as the caller may have it; others as they are
    names: Pseudonyms

    def findable(self, where: Predicate, sort: tuple[Sort, ...]) -> list[Limits]:
        """The limits under which a search may find resources: it asks for nothing that they hide."""
        params = [one.param for one in sort]
        return [
            limits for limits in self.permits if tells_nothing(where, limits) and all(_open(p, limits) for p in params)
        ]


def tells_nothing(where: Predicate, limits: Limits) -> bool:
    """Whether a condition on a resource asks only for what is shown of it. What it asks of others is judged there."""
    match where:
        case And(parts) | Or(parts):
            return all(tells_nothing(part, limits) for part in parts)
        case Not(part) | Of(_, part):
            return tells_nothing(part, limits)
        case Is(param):
            return _open(param, limits)
        case Chain() | Has():
            return True


def _open(param: Param, limits: Limits) -> bool:
    if not limits.identity:
        return param.code not in CONTACT and not param.code.startswith("address")
    return param.code not in NAMING and all(kind in ("token", "number", "quantity") for kind in param.kind.split("$"))


def shower(
    definitions: Definitions,
    limited: Callable[[], Mapping[int, Limits]],
    names: Pseudonyms,
    patients: Callable[[Stored], str],
    personal: frozenset[str],
    clock: Callable[[], int],
) -> Callable[[Stored], Stored]:
    """How one recipient is shown what they may have in part."""

    def show(row: Stored) -> Stored:
        limits = limited().get(row.rule)
        if limits is None or not row.body:
            return row
        body = codec.decode(row.body)
        if limits.contact and row.type == "Patient":
            body = without_contact(body)
        if not limits.identity:
            return row._replace(body=codec.encode(body))
        patient = patients(row)
        told = deidentified(definitions, body, names, patient, personal, clock())
        updated = moved_by(names.days(patient))(row.updated)
        return row._replace(id=names.name(row.type, row.id), updated=updated, body=codec.encode(told))

    return show
