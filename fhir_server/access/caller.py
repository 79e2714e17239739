"""Who asks. Purpose, actor and study come from the token or the client's registration, never from a bare header."""

from dataclasses import dataclass

from fhir_server.search.predicate import EVERYTHING, Predicate


@dataclass(frozen=True, slots=True)
class Caller:
    """Someone who asks: a stable identity (page links are bound to it) and what they may see at all."""

    id: str
    permit: Predicate = EVERYTHING


OPERATOR = Caller("operator")
