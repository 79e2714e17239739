"""What a search asks for, parsed: a predicate, an order, and what the answer should hold. https://hl7.org/fhir/R4/search.html"""

from dataclasses import dataclass
from typing import NamedTuple

from fhir_server.search.predicate import EVERYTHING, Predicate, Sort


class Include(NamedTuple):
    """One `_include` or (`reverse`) `_revinclude`. `type` and `param` may be "*"; `target` is "" for any type."""

    type: str
    param: str
    target: str = ""
    reverse: bool = False
    iterate: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """A parsed search. `types` is empty for all types; what the client did not say is None or empty."""

    types: tuple[str, ...] = ()
    where: Predicate = EVERYTHING
    sort: tuple[Sort, ...] = ()
    count: int | None = None
    total: str | None = None  # none, estimate or accurate
    summary: str | None = None  # true, text, data, count or false
    elements: tuple[str, ...] = ()
    includes: tuple[Include, ...] = ()
    contained: str = "false"  # true or both: contained resources are results (too)
    contained_type: str = "container"  # or contained: what comes in the answer
    ignored: tuple[str, ...] = ()  # names of the parameters left out under lenient handling
    used: tuple[tuple[str, str], ...] = ()  # the pairs that count, for the self link
