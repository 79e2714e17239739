"""A resource as XML, its elements in the order of the definitions. https://hl7.org/fhir/R4/xml.html"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.definitions import Element, load

NAMESPACE = "http://hl7.org/fhir"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
# What an attribute cannot hold as it is: markup, white space that parsers would turn into spaces, and what is no
# character of XML at all. https://www.w3.org/TR/xml/#charsets
_SPECIAL = re.compile('[&<>"\x00-\x1f\ud800-\udfff\ufffe\uffff]')
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
_NO_CHARACTER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_REPLACEMENT = "\ufffd"


class Member(NamedTuple):
    """A property of a structure: where it stands among the others, and what it holds."""

    position: int
    element: Element
    attribute: bool  # Element.id and Extension.url are attributes


@cache
def members_of(structure: str) -> Mapping[str, Member]:
    """The members of a structure by JSON property; KeyError for a name that R4 does not have."""
    shape = load().structures[structure]
    attributes = () if shape.kind == "resource" else ("id", "url") if shape.name == "Extension" else ("id",)
    elements = enumerate(shape.elements.items())
    return {name: Member(at, element, name in attributes) for at, (name, element) in elements}


def write_xml(resource: Resource, pretty: bool = False) -> bytes:
    """The XML document of a resource that was validated, or that this server made; `pretty` indents it.

    A narrative stays as it is. The few characters that XML cannot hold (U+FFFE, U+FFFF) become U+FFFD. Raises
    ValueError for properties that R4 does not have, rather than lose them.
    """
    out = [DECLARATION]
    _resource(out, resource, "\n" if pretty else "", f' xmlns="{NAMESPACE}"')
    return "".join(out).encode()


def escaped(text: str) -> str:
    """Text as it stands in an attribute."""
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(lambda match: _ESCAPES.get(match[0], _REPLACEMENT), text)


def _resource(out: list[str], resource: Resource, line: str, namespace: str = "") -> None:
    """`line` begins a new line with its indentation; it is empty when the text shall not be pretty."""
    type = resource["resourceType"]
    _open(out, f"{line}<{type}{namespace}", type, type, resource, line)


def _open(out: list[str], head: str, tag: str, structure: str, value: Resource, line: str) -> None:
    """Write an object: `head` is its start tag as far as it is known, `line` its indentation."""
    members = members_of(structure)
    inside: list[tuple[Member, str]] = []
    for key in value:
        name = key[1:] if key[:1] == "_" else key
        member = members.get(name)
        if member is None:
            if key != "resourceType":
                raise ValueError(f"R4 has no {structure}.{key[:64]}.")
        elif member.attribute:
            head += f' {name}="{escaped(value[key])}"'
        elif name == key or name not in value:
            inside.append((member, name))
    if not inside:
        out.append(head + "/>")
        return
    out.append(head + ">")
    if len(inside) > 1:
        inside.sort()  # the positions differ, so that nothing else is compared
    deeper = line and line + "  "
    for member, name in inside:
        _member(out, member.element, name, value, deeper)
    out.append(f"{line}</{tag}>")


def _member(out: list[str], element: Element, name: str, value: Resource, line: str) -> None:
    structure = element.structure
    if structure is None:
        _primitives(out, element, name, value, line)
        return
    for item in value[name] if element.many else (value[name],):
        if structure == "Resource":
            out.append(f"{line}<{name}>")
            _resource(out, item, line and line + "  ")
            out.append(f"{line}</{name}>")
        else:
            _open(out, f"{line}<{name}", name, structure, item, line)


def _primitives(out: list[str], element: Element, name: str, value: Resource, line: str) -> None:
    """A primitive with what stands beside it under `_name`; or an array of them."""
    if not element.many:
        _primitive(out, element, value.get(name), value.get("_" + name), line)
        return
    values, beside = value.get(name, ()), value.get("_" + name, ())
    for at in range(max(len(values), len(beside))):
        _primitive(
            out, element, values[at] if at < len(values) else None, beside[at] if at < len(beside) else None, line
        )


def _primitive(out: list[str], element: Element, value: Any, beside: Any, line: str) -> None:
    if element.type == "xhtml":
        out.append(line + _NO_CHARACTER.sub(_REPLACEMENT, value))
        return
    head = f"{line}<{element.name}"
    if value is not None:
        text = value if type(value) is str else ("true" if value else "false") if type(value) is bool else str(value)
        head += f' value="{escaped(text)}"'
    if beside:
        _open(out, head, element.name, "Element", beside, line)
    else:
        out.append(head + "/>")
