"""Whether two coded answers are the same, different, or cannot be compared. https://loinc.org/answer-file/"""

from fhir_server.matching.relate import relate
from fhir_server.matching.values import LOINC
from fhir_server.terminology.codes import Concept, Terminology

SNOMED = "http://snomed.info/sct"
_INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
POSITIVE = {
    Concept(SNOMED, "10828004"),
    Concept(SNOMED, "52101004"),
    Concept(LOINC, "LA6576-8"),
    Concept(LOINC, "LA9633-4"),
    Concept(_INTERPRETATION, "POS"),
}
NEGATIVE = {
    Concept(SNOMED, "260385009"),
    Concept(SNOMED, "2667000"),
    Concept(LOINC, "LA6577-6"),
    Concept(LOINC, "LA9634-2"),
    Concept(_INTERPRETATION, "NEG"),
}
PREGNANT = {Concept(SNOMED, "77386006"), Concept(LOINC, "LA15173-0")}
NOT_PREGNANT = {Concept(SNOMED, "60001007"), Concept(LOINC, "LA26683-5")}
_OPPOSITES = ((POSITIVE, NEGATIVE), (PREGNANT, NOT_PREGNANT))
# Answers that answer nothing: indeterminate, unknown, not applicable, no call, inconclusive, possible pregnancy.
_UNSURE = {"LA11884-6", "LA4489-6", "LA4720-4", "LA18198-4", "LA9663-1", "LA26684-3"}


def compared(terminology: Terminology, have: tuple[Concept, ...], want: tuple[Concept, ...]) -> bool | None:
    """True if a result is one of the wanted answers or a kind of it, False if it is another answer, None if that cannot
    be told. Two different LOINC answers are different answers to the same question."""
    match relate(terminology, have, want):
        case "is":
            return True
        case "other":
            return False
    for yes, no in _OPPOSITES:
        for mine, same, other in ((want, yes, no), (want, no, yes)):
            if set(mine) & same:
                return True if set(have) & same else False if set(have) & other else None
    answered = [{c.code for c in side if c.system == LOINC} - _UNSURE for side in (have, want)]
    return False if all(answered) else None
