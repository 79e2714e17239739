"""The XHTML of a narrative: well-formed, harmless, not empty. https://hl7.org/fhir/R4/narrative.html#xhtml

Which elements and attributes may appear is the list of invariant txt-1.
"""

from typing import Any
from xml.parsers import expat

from fhir_server.validation.problem import Found, Problem, Scope, shown

_ELEMENTS = """a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6
    hr i img li ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var"""
_ATTRIBUTES = """abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff
    charset cite class colspan compact coords dir frame headers height href hreflang hspace id lang longdesc name nowrap
    rel rev rowspan rules scope shape span src start style summary tabindex title type valign value vspace width"""
NAMESPACE = "http://www.w3.org/1999/xhtml"
ELEMENTS = frozenset(_ELEMENTS.split())
ATTRIBUTES = frozenset(_ATTRIBUTES.split())
_ALLOWED = ATTRIBUTES - {"href", "src"}  # those two are looked into
_SCRIPTS = ("javascript:", "vbscript:", "data:text")


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
    if not text.lstrip().startswith("<div"):  # so no document type can come before it, and no entity be declared
        raise _Refused("it must start with <div")
    parser = expat.ParserCreate("utf-8")
    rooted = content = False

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal rooted, content
        if not rooted:
            rooted = True
            if attributes.get("xmlns") != NAMESPACE:
                raise _Refused(f'it must start with <div xmlns="{NAMESPACE}">')
        if name not in ELEMENTS:
            raise _Refused(f"<{name[:40]}> is not allowed in it")
        if attributes and not _ALLOWED.issuperset(attributes):
            _check_attributes(name, attributes)
            content = content or (name == "img" and "src" in attributes)

    def data(piece: str) -> None:
        nonlocal content
        if not piece.isspace():
            content = True
            parser.CharacterDataHandler = None

    parser.StartElementHandler = start
    parser.CharacterDataHandler = data
    parser.ProcessingInstructionHandler = _refuse_instruction
    parser.StartCdataSectionHandler = _refuse_cdata
    parser.CommentHandler = _check_comment
    parser.Parse(text, True)
    if not content:
        raise _Refused("it has no text and no image")


def _check_attributes(name: str, attributes: dict[str, str]) -> None:
    for key, text in attributes.items():
        if key not in ATTRIBUTES and key not in ("xmlns", "xml:lang", "xml:space"):
            raise _Refused(f"the attribute {key[:40]} of <{name}> is not allowed in it")
        if key == "xmlns" and text != NAMESPACE:
            raise _Refused(f"<{name}> is not in the namespace {NAMESPACE}")
        if key in ("href", "src") and "".join(filter(str.isprintable, text.replace(" ", ""))).lower().startswith(
            _SCRIPTS
        ):
            raise _Refused(f"<{name}> holds a script in {key}")


def _refuse_instruction(*_: Any) -> None:
    raise _Refused("a processing instruction is not allowed in it")


def _refuse_cdata() -> None:
    # A browser that is given the div as HTML, as R4 foresees, reads the inside of a CDATA section as markup.
    raise _Refused("a CDATA section is not allowed in it")


def _check_comment(text: str) -> None:
    # <!--> and <!---> end a comment in HTML, so that what XML takes for its text would be markup in a browser.
    if text.startswith((">", "->")):
        raise _Refused("a comment must not start with >")
