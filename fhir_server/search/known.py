"""What a search must be told before it can be parsed: the codes of value sets, what lies above and below. https://hl7.org/fhir/R4/search.html#token

Parsing is pure. Where it needs to know what only the store or a code system can say, it raises Needed; the caller finds
that out and parses again with the answer among the `known`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from fhir_server.fhir.outcome import FhirError, Issue


class Wanted(NamedTuple):
    """A question: `relation` is `in` (text: a ValueSet's URL or ValueSet/id), or `below` or `above`, of a code
    (`system|code`) or, with a `type`, of the resource of that type with the id `text`."""

    relation: str
    text: str
    type: str = ""


class Members(NamedTuple):
    """(system, code) of codes, or (type, id) of resources, the asked one included. All codes of `systems` belong."""

    pairs: tuple[tuple[str, str], ...]
    systems: tuple[str, ...] = ()


Known = Mapping[Wanted, Members]
NOTHING_KNOWN: Known = MappingProxyType({})


class Needed(FhirError):
    """The search cannot be parsed before `wanted` is known. Where nobody answers it is a refusal, 400."""

    def __init__(self, wanted: Wanted) -> None:
        text = f"{wanted.text[:80]!r} with the modifier {wanted.relation!r} can be asked of searches only, not here."
        super().__init__(400, (Issue("not-supported", text),))
        self.wanted = wanted
