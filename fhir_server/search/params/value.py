"""What all search values share: escapes, prefixes, and how a bad one is refused. https://hl7.org/fhir/R4/search.html#escaping"""

import re
from typing import NamedTuple

from fhir_server.fhir.definitions import SearchParam
from fhir_server.fhir.outcome import FhirError, refuse
from fhir_server.search.known import NOTHING_KNOWN, Known, Members, Needed, Wanted
from fhir_server.search.predicate import Test

# One index entry must meet all tests of one of the alternatives.
Tests = tuple[Test, ...]
Alternatives = tuple[Tests, ...]

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")

_ESCAPE = re.compile(r"\\([\\,|$])")


class Ask(NamedTuple):
    """What a value is parsed for: the parameter, its name as the client wrote it, the time (µs), our base URL, what is
    known of codes; and whether only quantities in units that convert to another (fhir/ucum.py) make alternatives."""

    param: SearchParam
    name: str
    now: int
    base: str
    known: Known = NOTHING_KNOWN
    canonical_only: bool = False

    def members(self, relation: str, text: str, type: str = "") -> Members:
        """The answer to a question. Raises Needed."""
        wanted = Wanted(relation, text, type)
        if wanted not in self.known:
            raise Needed(wanted)
        return self.known[wanted]


def split(text: str, separator: str, most: int = -1) -> list[str]:
    """The parts between unescaped separators (at most `most` cuts), their escapes still in them."""
    if "\\" not in text:
        return text.split(separator, most)
    parts = [""]
    for piece in re.findall(r"\\.|[^\\]|\\$", text, re.DOTALL):
        if piece == separator and (most < 0 or len(parts) <= most):
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def unescape(text: str) -> str:
    r"""The text that `\,`, `\|`, `\$` and `\\` stand for; any other backslash is itself."""
    return _ESCAPE.sub(r"\1", text) if "\\" in text else text


def prefixed(text: str) -> tuple[str, str]:
    """The comparison prefix ("eq" when there is none) and the rest."""
    return (text[:2], text[2:]) if text[:2] in PREFIXES else ("eq", text)


def bad(ask: Ask, text: str, expected: str) -> FhirError:
    """The refusal of a value: 400, naming the parameter and what would have been right."""
    shown = text if len(text) <= 60 else text[:57] + "..."
    return refuse(400, "value", f"Search parameter {ask.name!r}: {shown!r} is not valid. Expected {expected}.")
