"""Stages of cancer, however they are coded or written: a number from 0 to 4 and perhaps a letter."""

import re
from typing import NamedTuple

from fhir_server.fhir.codec import Resource
from fhir_server.matching.values import concepts
from fhir_server.terminology.codes import Concept

SNOMED, NCIT = "http://snomed.info/sct", "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"
_CODED = {
    Concept(SNOMED, "258215001"): 1,
    Concept(SNOMED, "258219007"): 2,
    Concept(SNOMED, "258224005"): 3,
    Concept(SNOMED, "258228008"): 4,
    Concept(NCIT, "C27966"): 1,
    Concept(NCIT, "C28054"): 2,
    Concept(NCIT, "C27970"): 3,
    Concept(NCIT, "C27971"): 4,
}
_ROMAN = {"I": 1, "II": 2, "III": 3, "IV": 4}
# Stage IIIA, IIIA1, 3A, pStage IV, AJCC stage IIB: what precedes it may be the system or how it was found.
_WRITTEN = re.compile(
    r"(?:AJCC\s+|FIGO\s+)?(?:yp|yc|[cpr])?\s*(?:stage(?:\s+group)?\s*)?(0|IV|I{1,3}|[1-4])\s*([A-D]?)\d?", re.I
)


class Stage(NamedTuple):
    """A stage; the letter is "" where none is given."""

    number: int
    letter: str

    def __str__(self) -> str:
        return f"{('0', 'I', 'II', 'III', 'IV')[self.number]}{self.letter}"


def stage_of(value: Resource) -> Stage | None:
    """The stage that a CodeableConcept names, by its codes, displays or text, the most exact of them; None if it names
    none, or several."""
    coded = {Stage(_CODED[coding], "") for coding in concepts(value) if coding in _CODED}
    texts = [value.get("text", "")]
    for coding in value.get("coding", ()):
        texts += [
            coding.get("display", ""),
            coding.get("code", "") if coding.get("system") not in (SNOMED, NCIT) else "",
        ]
    for text in texts:
        found = _WRITTEN.fullmatch(text.split("(")[0].strip())
        if found is not None:
            number = _ROMAN.get(found[1].upper())
            coded.add(Stage(int(found[1]) if number is None else number, found[2].upper()))
    exact = {stage for stage in coded if stage.letter} or coded
    return exact.pop() if len(exact) == 1 and len({stage.number for stage in coded}) == 1 else None
