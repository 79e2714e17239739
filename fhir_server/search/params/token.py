"""Token search: `code`, `system|code`, `|code`, `system|`. https://hl7.org/fhir/R4/search.html#token"""

from fhir_server.search.params.value import Alternatives, Ask, bad, split, unescape
from fhir_server.search.predicate import Test

MODIFIERS = frozenset({"not"})  # the negation itself is made of the whole list of values: criteria.py


def tests(text: str, modifier: str, ask: Ask) -> Alternatives:
    """Codes and systems are compared as they are written, letter for letter."""
    system, *code = [unescape(part) for part in split(text, "|", 1)]
    if not code:
        return ((("code", "=", system),),)
    found: list[Test] = []
    if system or code[0]:
        found.append(("system", "=", system))
    if code[0]:
        found.append(("code", "=", code[0]))
    if not found:
        raise bad(ask, text, "code, system|code, |code or system|")
    return (tuple(found),)
