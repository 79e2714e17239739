"""URI search: equal, character by character. https://hl7.org/fhir/R4/search.html#uri"""

from fhir_server.search.params.value import Alternatives, Ask, unescape

MODIFIERS: frozenset[str] = frozenset()


def tests(text: str, modifier: str, ask: Ask) -> Alternatives:
    """One test for equality."""
    return ((("uri", "=", unescape(text)),),)
