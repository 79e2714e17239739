"""The XHTML of a narrative: well-formed, harmless, not empty. https://hl7.org/fhir/R4/narrative.html#xhtml

Which elements and attributes may appear is the list of invariant txt-1.
"""

from typing import Any
from xml.parsers import expat

from fhir_server.validation.problem import Found, Problem, Scope, shown

ELEMENTS = frozenset(
    "a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img li"
    " ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var".split()
)
ATTRIBUTES = frozenset(
    "abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff charset cite"
    " class colspan compact coords dir frame headers height href hreflang hspace id lang longdesc name nowrap rel rev"
    " rowspan rules scope shape span src start style summary tabindex title type valign value vspace width".split()
)
NAMESPACE = "http://www.w3.org/1999/xhtml"
DEPTH = 256  # levels of elements


class _Refused(Exception):
    """Why the narrative is refused."""


def check_xhtml(value: Any, _: Scope) -> Found:
    """A <div> of XHTML with some content, without scripts, event handlers, entities or a document type."""
    if type(value) is not str:
        return [Problem("structure", f"must be a string that holds an XHTML div, not {shown(value)}.")]
    try:
        _read(value)
    except _Refused as refused:
        return [Problem("value", f"must be an XHTML div as R4 allows it: {refused}.")]
    except (expat.ExpatError, UnicodeEncodeError) as error:
        return [Problem("value", f"must be well-formed XHTML in a div: {error}.")]
    return None


def _read(text: str) -> None:
    depth = 0
    content = False
    parser = expat.ParserCreate("utf-8")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, content
        if depth == 0 and (name != "div" or attributes.get("xmlns") != NAMESPACE):
            raise _Refused(f'it must start with <div xmlns="{NAMESPACE}">')
        if depth > DEPTH:
            raise _Refused(f"it is nested more than {DEPTH} levels deep")
        depth += 1
        _check_tag(name, attributes)
        content = content or (name == "img" and "src" in attributes)

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    def data(piece: str) -> None:
        nonlocal content
        content = content or not piece.isspace()

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.ProcessingInstructionHandler = _refuse_instruction
    parser.Parse(text.encode(), True)
    if not content:
        raise _Refused("it has no text and no image")


def _check_tag(name: str, attributes: dict[str, str]) -> None:
    if name not in ELEMENTS:
        raise _Refused(f"<{name[:40]}> is not allowed in it")
    for key, text in attributes.items():
        if key not in ATTRIBUTES and key not in ("xmlns", "xml:lang", "xml:space"):
            raise _Refused(f"the attribute {key[:40]} of <{name}> is not allowed in it")
        if key == "xmlns" and text != NAMESPACE:
            raise _Refused(f"<{name}> is not in the namespace {NAMESPACE}")
        if key in ("href", "src") and "".join(text.split()).lower().startswith(("javascript:", "vbscript:")):
            raise _Refused(f"<{name}> holds a script in {key}")


def _refuse_doctype(*_: Any) -> None:
    raise _Refused("a document type is not allowed in it")


def _refuse_instruction(*_: Any) -> None:
    raise _Refused("a processing instruction is not allowed in it")
