"""How recorded concepts stand to required ones, each a list of synonyms. https://hl7.org/fhir/R4/codesystem.html#hierarchy"""

from functools import lru_cache

from fhir_server.terminology.codes import Concept, Relation, Terminology, relation


@lru_cache(maxsize=65_536)
def relate(terminology: Terminology, have: tuple[Concept, ...], want: tuple[Concept, ...]) -> Relation | None:
    """The most telling relation of all pairs: that one is the other, that they are different, or that it may be."""
    answers = {relation(terminology, mine, theirs) for mine in have for theirs in want}
    answer: Relation
    for answer in ("is", "other", "broader"):
        if answer in answers:
            return answer
    return None
