"""Quantity search: `number`, `number|system|code`, `number||code`. https://hl7.org/fhir/R4/search.html#quantity"""

from fhir_server.fhir import ucum
from fhir_server.search.params import number
from fhir_server.search.params.value import Alternatives, Ask, bad, split, unescape
from fhir_server.search.predicate import Test

MODIFIERS: frozenset[str] = frozenset()

EXPECTED = "number, number|system|code or number||code, the number perhaps after eq ne gt lt ge le sa eb ap"


def tests(text: str, modifier: str, ask: Ask) -> Alternatives:
    """The number as number.py has it, and the unit; without a system the code may also be the printed unit.

    A UCUM unit that converts is asked for in the canonical unit of its dimension. Quantities written in another have a
    second entry in it, under the pseudo-parameter `:ucum`, which is asked the same (`ask.canonical_only`).
    """
    amount, *unit = [unescape(part) for part in split(text, "|")]
    if len(unit) not in (0, 2):
        raise bad(ask, text, EXPECTED)
    scale = ucum.scale(unit[1]) if unit and unit[0] == ucum.SYSTEM else None
    if scale is not None:
        unit = [ucum.SYSTEM, scale.canonical]
    elif ask.canonical_only:
        return ()
    found = number.compare(amount, text, ask, EXPECTED, scale)
    return tuple((*tests, *more) for tests in found for more in _units(*unit))


def _units(system: str = "", code: str = "") -> Alternatives:
    if system:
        named: tuple[Test, ...] = (("system", "=", system),)
        return ((*named, ("code", "=", code)),) if code else (named,)
    return ((("code", "=", code),), (("unit", "=", code),)) if code else ((),)
