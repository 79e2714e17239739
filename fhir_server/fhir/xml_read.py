"""XML to a resource in memory, strictly, and without document types or entities. https://hl7.org/fhir/R4/xml.html

One pass of expat, which keeps positions, so that a narrative is taken out as the bytes that it is. A document that
needs anything but elements, attributes and comments is refused before it can cost something.
"""

import re
from decimal import Decimal
from typing import Any
from xml.parsers import expat

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.definitions import Element, load
from fhir_server.fhir.outcome import FhirError, refuse
from fhir_server.fhir.xml_write import NAMESPACE, Member, members_of

DEPTH = 200  # nested elements; validation stops sooner in the parts of FHIR that contain themselves
_FHIR = NAMESPACE + " "  # expat gives names as namespace, space, local name
_DIV = "http://www.w3.org/1999/xhtml div"
_EMPTY_DIV = '<div xmlns="http://www.w3.org/1999/xhtml"/>'
_SCHEMA_LOCATION = "http://www.w3.org/2001/XMLSchema-instance schemaLocation"  # allowed, and says nothing to a server
_INTEGER = re.compile(r"0|[+-]?[1-9][0-9]{0,17}", re.ASCII).fullmatch
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,999})(\.[0-9]{1,1000})?([eE][+-]?[0-9]{1,4})?", re.ASCII).fullmatch
_INTEGERS = ("integer", "positiveInt", "unsignedInt")


def read_xml(body: bytes) -> Resource:
    """The resource of an XML document in UTF-8, the same value that its JSON form would decode to.

    Raises FhirError 400 with the place, as `Patient.name[0].given[1]`, for what is not well-formed or not FHIR: unknown
    elements and attributes, wrong order, values that are no number or boolean where one belongs, document types,
    entities, processing instructions. What else a value must be is left to validation.
    """
    reader = _Reader(body)
    try:
        reader.parser.Parse(body, True)
    except expat.ExpatError as error:
        raise refuse(400, "structure", f"The body is not well-formed XML: {error}.", *reader.place()) from None
    return reader.resource


class _Frame:
    """An element that is open. Exactly one of `members` (an object), `primitive` and `holder` (of a resource) tells."""

    __slots__ = ("arrays", "holder", "index", "last", "members", "name", "primitive", "value")

    def __init__(self, name: str, index: int | None) -> None:
        self.name, self.index = name, index
        self.members: Any = None  # Mapping[str, Member]
        self.value: Resource = {}  # for a primitive: its id and extensions
        self.primitive: Member | None = None
        self.holder: Any = None  # Callable[[Resource], None] that puts the resource where it belongs
        self.last = -1  # position of the last member seen: they come in order
        self.arrays: list[str] | None = None  # the repeated primitives among the members


class _Reader:
    """The state of one parse: the elements that are open, from the root inwards."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.open: list[_Frame] = []
        self.resource: Resource = {}
        self.div_at = self.div_depth = 0
        self.parser = parser = expat.ParserCreate("utf-8", " ")
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.text
        parser.buffer_text = True
        parser.XmlDeclHandler = self.declared
        parser.StartDoctypeDeclHandler = self.no_doctype
        parser.EntityDeclHandler = self.no_doctype
        parser.ExternalEntityRefHandler = self.no_doctype
        parser.ProcessingInstructionHandler = self.no_instruction

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Open an element below the innermost open one."""
        if len(self.open) >= DEPTH:
            raise self.wrong(f"The XML is nested deeper than {DEPTH} elements.")
        if not self.open:
            attributes.pop(_SCHEMA_LOCATION, None)
            self.begin_resource(name, attributes, None)
            return
        parent = self.open[-1]
        if parent.holder is not None:
            self.begin_resource(name, attributes, parent)
            return
        if parent.members is None:  # the first child of a primitive: its extensions
            parent.members = members_of("Element")
        local = name[len(_FHIR) :] if name.startswith(_FHIR) else "div" if name == _DIV else ""
        member = parent.members.get(local)
        if member is None or member.attribute or (name == _DIV) is not (member.element.type == "xhtml"):
            raise self.unknown(name)
        self.open.append(self.frame(parent, member))
        self.begin(member, attributes)

    def frame(self, parent: _Frame, member: Member) -> _Frame:
        """The frame of a member, its place among its siblings checked."""
        element, index = member.element, None
        if member.position < parent.last:
            raise self.wrong(f"<{element.name}> must come before the elements that stand before it here.")
        if element.many:
            given = parent.value.get(element.name)
            index = len(given) if given is not None else 0
        elif member.position == parent.last:
            raise self.wrong(f"<{element.name}> must not be repeated.")
        parent.last = member.position
        return _Frame(element.name, index)

    def begin(self, member: Member, attributes: dict[str, str]) -> None:
        """Fill the frame just opened with what its attributes say."""
        frame, parent, element = self.open[-1], self.open[-2].value, member.element
        if element.structure == "Resource":
            frame.holder = self.holder(parent, element)
        elif element.structure is not None:
            frame.members = members_of(element.structure)
            _put(parent, element, frame.value)
        else:
            frame.primitive = member
            if element.type == "xhtml":
                self.begin_div()
                return
            value = attributes.pop("value", None)
            _put(parent, element, None if value is None else self.typed(element, value))
            if element.many:
                arrays = self.open[-2].arrays
                if arrays is None:
                    self.open[-2].arrays = [element.name]
                elif element.name not in arrays:
                    arrays.append(element.name)
        if attributes:
            self.attributes(frame, attributes)

    def begin_resource(self, name: str, attributes: dict[str, str], holder: _Frame | None) -> None:
        """Open a resource: the root, or what stands in contained, Bundle.entry.resource and their like."""
        type = name[len(_FHIR) :]
        if not name.startswith(_FHIR) or type not in load().resources:
            raise self.wrong(f"<{_shown(name)}> is no resource of R4 in the namespace {NAMESPACE}.")
        frame = _Frame("" if holder else type, None)
        frame.members = members_of(type)
        frame.value["resourceType"] = type
        if holder is None:
            self.resource = frame.value
        elif holder.last == 0:
            raise self.wrong(f"<{holder.name}> must hold one resource.")
        else:
            holder.last = 0
            holder.holder(frame.value)
        self.open.append(frame)
        if attributes:
            self.attributes(frame, attributes)

    def holder(self, parent: Resource, element: Element) -> Any:
        """What puts the resource inside an element of type Resource into `parent`."""
        return lambda resource: _put(parent, element, resource)

    def attributes(self, frame: _Frame, attributes: dict[str, str]) -> None:
        """Take `id` and Extension.url; refuse others."""
        known = frame.members or members_of("Element")
        for name, text in attributes.items():
            if name not in known or not known[name].attribute or frame.holder is not None:
                raise self.wrong(f"R4 has no attribute {_shown(name)!r} here.")
            frame.value[name] = text

    def typed(self, element: Element, text: str) -> Any:
        """The JSON value of a primitive's text."""
        if element.type == "boolean":
            if text not in ("true", "false"):
                raise self.wrong(f"{text[:40]!r} is not true or false.", "value")
            return text == "true"
        if element.type in _INTEGERS:
            if not _INTEGER(text):
                raise self.wrong(f"{text[:40]!r} is not an integer.", "value")
            return int(text)
        if element.type == "decimal":
            found = _DECIMAL(text)
            if not found:
                raise self.wrong(f"{text[:40]!r} is not a decimal number.", "value")
            return int(text) if found[1] is None and found[2] is None else Decimal(text)
        return text

    def end(self, name: str) -> None:
        """Close the innermost element."""
        frame = self.open[-1]
        if frame.primitive is not None:
            self.end_primitive(frame, frame.primitive.element)
        elif frame.arrays is not None:
            for array in frame.arrays:
                if not any(frame.value["_" + array]):
                    del frame.value["_" + array]
                if all(value is None for value in frame.value[array]):
                    del frame.value[array]
        elif frame.holder is not None and frame.last < 0:
            raise self.wrong(f"<{frame.name}> must hold a resource.")
        self.open.pop()

    def end_primitive(self, frame: _Frame, element: Element) -> None:
        """Put the id and the extensions of a primitive beside its value."""
        parent = self.open[-2].value
        value = parent[element.name]
        if not frame.value and (value[-1] if element.many else value) is None:
            raise self.wrong(f"<{element.name}> needs a value or an extension.", "value")
        if element.many:
            parent.setdefault("_" + element.name, []).append(frame.value or None)
        elif frame.value:
            parent["_" + element.name] = frame.value
            if value is None:
                del parent[element.name]

    def begin_div(self) -> None:
        """Let everything pass until the narrative ends; its bytes are taken then."""
        self.div_at, self.div_depth = self.parser.CurrentByteIndex, 1
        self.parser.StartElementHandler = self.start_in_div
        self.parser.EndElementHandler = self.end_in_div
        self.parser.CharacterDataHandler = None

    def start_in_div(self, name: str, attributes: dict[str, str]) -> None:
        """Count the depth."""
        self.div_depth += 1
        if self.div_depth > DEPTH:
            raise self.wrong(f"The narrative is nested deeper than {DEPTH} elements.")

    def end_in_div(self, name: str) -> None:
        """At the end of the div, take it as it stands in the document."""
        self.div_depth -= 1
        if self.div_depth:
            return
        at = self.parser.CurrentByteIndex
        div = self.body[self.div_at : self.body.index(b">", at) + 1].decode() if at > self.div_at else _EMPTY_DIV
        self.open.pop()
        self.open[-1].value["div"] = div
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.text

    def text(self, data: str) -> None:
        """Between elements there is only white space."""
        if not data.isspace():
            raise self.wrong(f"There must be no text between elements: {data.strip()[:40]!r}.")

    def declared(self, version: str, encoding: str | None, standalone: int) -> None:
        """The XML declaration must not name another encoding."""
        if encoding is not None and encoding.lower() not in ("utf-8", "us-ascii"):
            raise self.wrong(f"The body must be in UTF-8, not {encoding[:40]!r}.")

    def no_doctype(self, *_: Any) -> int:
        """There are no document types in FHIR, and so no entities."""
        raise self.wrong("A document type or an entity is not allowed.")

    def no_instruction(self, *_: Any) -> None:
        """There are no processing instructions in FHIR."""
        raise self.wrong("A processing instruction is not allowed.")

    def unknown(self, name: str) -> FhirError:
        """The refusal of an element that does not belong where it stands."""
        wanted = "" if name.startswith(_FHIR) else f" in the namespace {name.rpartition(' ')[0][:80]!r}"
        return self.wrong(f"R4 has no element <{_shown(name)}>{wanted} here.")

    def wrong(self, text: str, code: str = "structure") -> FhirError:
        """A refusal with its place and line."""
        return refuse(400, code, f"Line {self.parser.CurrentLineNumber}: {text}", *self.place())

    def place(self) -> tuple[str, ...]:
        """Where the parser is: `Patient.name[0].given[1]`; nothing before the root."""
        parts = [frame.name if frame.index is None else f"{frame.name}[{frame.index}]" for frame in self.open]
        return (".".join(filter(None, parts)),) if parts else ()


def _put(parent: Resource, element: Element, value: Any) -> None:
    if element.many:
        parent.setdefault(element.name, []).append(value)
    else:
        parent[element.name] = value


def _shown(name: str) -> str:
    return name.rpartition(" ")[2][:64]
