"""Who asks, and what they may do: rights by resource type and by the letters of SMART's scopes (c, r, u, d, s)."""

from collections.abc import Callable
from dataclasses import dataclass

from fhir_server.access.grant import Grant
from fhir_server.access.limits import Partly
from fhir_server.search.predicate import EVERYTHING, NOTHING, Predicate
from fhir_server.store.seam import Stored

Permits = Callable[[str, str], Predicate]  # (type, letter) -> which resources of the type; NOTHING: none at all


def _everything(type: str, letter: str) -> Predicate:
    return EVERYTHING


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """Someone who asks: a stable identity, and the resources of each type on which each letter is permitted.

    Page links and jobs are bound to `id`; `print` changes whenever the rights may have changed.
    """

    id: str
    permits: Permits = _everything
    print: str = ""
    grant: Grant | None = None
    operator: bool = False
    types: tuple[str, ...] = ()  # all there are: what a search over no type in particular looks at
    partly: Partly | None = None  # what may be had in part, beside all that `permits` names

    def shown(self, row: Stored) -> Stored:
        """A resource as this caller may have it."""
        return row if self.partly is None else self.partly.show(row)

    @property
    def free(self) -> bool:
        """Whether nothing is kept from this caller, as with open authorization and on the command line."""
        return self.permits is _everything

    def permit(self, type: str, letter: str) -> Predicate:
        """The resources of `type` on which the caller may do what the letter stands for."""
        return self.permits(type, letter)

    def may(self, type: str, letter: str) -> bool:
        """Whether the caller may do it on some resource of the type ("": of any type): if not, that is refused with 403
        before a store is asked."""
        if not type and not self.free:
            return any(self.permits(one, letter) != NOTHING for one in self.types)
        return self.permits(type, letter) != NOTHING

    def unrestricted(self, type: str, letters: str) -> bool:
        """Whether the caller may do all of it on every resource of the type, those yet unknown included."""
        return all(self.permits(type, letter) == EVERYTHING for letter in letters)


OPERATOR = Caller("operator", operator=True)
