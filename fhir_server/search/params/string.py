"""String search: starts with, contains, or exactly. https://hl7.org/fhir/R4/search.html#string"""

from fhir_server.search.entries import LONGEST, fold
from fhir_server.search.params.value import Alternatives, Ask, bad, unescape

MODIFIERS = frozenset({"exact", "contains"})


def tests(text: str, modifier: str, ask: Ask) -> Alternatives:
    """By default the folded value starts with the folded text; `exact` compares the text as it is."""
    value = unescape(text)[:LONGEST]
    if modifier == "exact":
        return ((("norm", "=", fold(value)), ("exact", "=", value)),)  # the stores find a text by its folded form
    norm = fold(value)
    if not norm:
        raise bad(ask, text, "some letters or digits")
    return ((("norm", "contains" if modifier == "contains" else "prefix", norm),),)
