"""Token search: `code`, `system|code`, `|code`, `system|`. https://hl7.org/fhir/R4/search.html#token"""

from fhir_server.search.params.value import Alternatives, Ask, bad, split, unescape
from fhir_server.search.predicate import Test

# `not`, `not-in` are negations of the whole list of values, `text` and `of-type` ask other entries: see leaf.py.
MODIFIERS = frozenset({"not", "text", "in", "not-in", "above", "below", "of-type"})


def tests(text: str, modifier: str, ask: Ask) -> Alternatives:
    """Codes and systems are compared as they are written, letter for letter."""
    if modifier in ("in", "above", "below"):
        return _members(text, modifier, ask)
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


def of_type(text: str, modifier: str, ask: Ask) -> Alternatives:
    """`system|code|value`: an identifier's type and its value, on an entry `token$token` (extras.py)."""
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) != 3 or not parts[1] or not parts[2]:
        raise bad(ask, text, "system|code|value: the type of the identifier, then its value")
    system, code, value = parts
    named: tuple[Test, ...] = (("1.system", "=", system),) if system else ()
    return ((*named, ("1.code", "=", code), ("2.code", "=", value)),)


def _members(text: str, modifier: str, ask: Ask) -> Alternatives:
    asked = unescape(text)
    system, _, code = asked.partition("|")
    if modifier != "in" and not (system and code):
        raise bad(ask, text, "system|code")
    pairs, systems = ask.members(modifier, asked)
    listed: Alternatives = ((("system,code", "in", pairs),),) if pairs or not systems else ()
    return (*listed, *[(("system", "=", system),) for system in systems])
