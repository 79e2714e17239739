"""Bodies made of valid ones: resources, patches, bundles and Parameters with something wrong in them,
in JSON and XML."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from fhir_server.fhir.xml_write import write_xml
from tests.search_oracle.world import resources

Draw = st.DrawFn
WORLD = resources()
SEEDS = {one["resourceType"]: one for one in WORLD}
SEEDS |= {
    "Binary": {"resourceType": "Binary", "id": "binary0", "contentType": "text/plain", "data": "aGk="},
    "Group": {"resourceType": "Group", "id": "group0", "type": "person", "actual": True,
              "member": [{"entity": {"reference": "Patient/patient1"}}]},
    "ResearchStudy": {"resourceType": "ResearchStudy", "id": "study0", "status": "active"},
    "Parameters": {"resourceType": "Parameters", "parameter": [{"name": "n", "part": [{"name": "p",
        "valueCode": "c"}]}]},
    "Bundle": {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": {"resourceType": "Basic"}}]},
    "CodeSystem": {"resourceType": "CodeSystem", "url": "urn:cs", "status": "active", "content": "complete",
                   "concept": [{"code": "a", "concept": [{"code": "b"}]}]},
    "SearchParameter": {"resourceType": "SearchParameter", "url": "urn:sp", "name": "Colour", "status": "active",
                        "description": "d", "code": "colour", "base": ["Patient"], "type": "string",
                        "expression": "Patient.extension.where(url='urn:c').value"},
}  # fmt: skip
TEXTS = [json.dumps(one, default=float) for one in SEEDS.values()]
DOCUMENTS = [write_xml(one) for one in SEEDS.values()]

NASTY: list[Any] = [
    None, True, False, 0, -1, 1, 2**63, -(2**64), 10**40, 0.1, 1e308, float("nan"), float("inf"), "", " ", "\0",
        "\ud800",
    "a" * 70, "x" * 5000, "\u202e", "é" * 30, "%", "$where", "a.b", "../..", "2026-02-30", "2026",
        "2026-01-01T00:00:00Z",
    "24:60:99", "0000-00-00", "Patient/patient1", "Patient/", "Patient/nobody/_history/0", "Patient?name=x", "#x",
        "#", "urn:uuid:1", "http://[::1",
    "http://other.example/fhir/Patient/1", "Patient", "Banana", "<script>", "1' OR '1'='1", "(a+)+$", [], {}, [[]],
        [{}],
    [None], [[[[]]]], {"a": {}}, {"extension": [{"url": "u"}]}, ["x", 1, None], {"resourceType": "Patient"},
        {"reference": 7},
    {"resourceType": "Bundle", "type": "batch"}, [1] * 200,
]  # fmt: skip
KEYS = [
    "",
    "id",
    "meta",
    "resourceType",
    "extension",
    "contained",
    "_status",
    "$x",
    "a.b",
    "text",
    "name",
    "entry",
    "é",
]
CHANGES = ("replace", "replace", "replace", "drop", "wrap", "twice", "rename", "deep")


FEW = 200  # values in a body that is small enough to be made much larger


def nasty(draw: Draw) -> Any:
    """One of the nasty values, as a copy that may be spoilt in turn."""
    return copy.deepcopy(draw(st.sampled_from(NASTY)))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value below this one."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*path, key)
        yield from places(one, (*path, key))


def spoil(draw: Draw, body: Any) -> Any:
    """The value with something wrong at one place."""
    spots = list(places(body))
    if not spots:
        return nasty(draw)
    small = len(spots) < FEW
    *above, last = spots[draw(st.integers(0, len(spots) - 1))]
    holder = body
    for key in above:
        holder = holder[key]
    match draw(st.sampled_from(CHANGES)):
        case "replace":
            holder[last] = nasty(draw)
        case "drop":
            del holder[last]
        case "wrap":
            holder[last] = [holder[last]]
        case "twice" if isinstance(holder, list):
            holder += [holder[last]] * (300 if small and draw(st.booleans()) else 1)
        case "rename" if isinstance(holder, dict):
            holder[draw(st.sampled_from(KEYS))] = holder.pop(last)
        case "deep":
            for _ in range(draw(st.sampled_from([2, 40, 400])) if small else 1):
                holder[last] = [{"extension": holder[last]}]
    return body


@st.composite
def resource(draw: Draw, type: str, amiss: bool = False) -> Any:
    """A resource of the type, or of another; with a fault or several if it is to be `amiss`."""
    text = json.dumps(SEEDS[type], default=float) if type in SEEDS else draw(st.sampled_from(TEXTS))
    body = json.loads(text)
    for _ in range(draw(st.sampled_from([1, 1, 2, 5] if amiss else [0, 0, 0, 0, 0, 1]))):
        body = spoil(draw, body)
    return body


def harm(draw: Draw, body: bytes, amiss: bool) -> bytes:
    """The bytes with something wrong in them, sometimes, if they are to be `amiss`."""
    if not amiss:
        return body
    at = draw(st.integers(0, len(body))) if body else 0
    junk = draw(
        st.sampled_from([b"\0", b"\xff\xfe", b'"', b"{", b"]", b"<", b"&", b"\\ud800", b"]]>", b"<!--", b"&x;"])
    )
    match draw(st.sampled_from(["", "", "", "", "", "", "cut", "insert", "replace", "both"])):
        case "cut":
            return body[:at]
        case "insert":
            return body[:at] + junk + body[at:]
        case "replace":
            return body[:at] + junk + body[at + len(junk) :]
        case "both":
            return body + body
    return body


def encoded(draw: Draw, value: Any, amiss: bool) -> bytes:
    """JSON, escaped or not, with bytes amiss now and then."""
    ascii = draw(st.booleans())
    return harm(draw, json.dumps(value, ensure_ascii=ascii).encode("utf-8", "surrogatepass"), amiss)


@st.composite
def xml(draw: Draw, amiss: bool) -> bytes:
    """A document with a wrong value, a doubled or lost piece, or wrong bytes."""
    text = draw(st.sampled_from(DOCUMENTS))
    tags = list(re.finditer(rb"<[^>]+>|\"[^\"]*\"", text))
    for _ in range(draw(st.sampled_from([0, 1, 2] if amiss else [0]))):
        start, end = tags[draw(st.integers(0, len(tags) - 1))].span()
        new = draw(st.sampled_from([b"", text[start:end] * 2, b'"&amp;"', b'"' + b"9" * 60 + b'"', b"<a>",
            b"</Patient>",
                                    b'<!DOCTYPE a [<!ENTITY b "c">]>', b"<a" * 300, b'"\xc3\x28"',
                                    b'xmlns="urn:x"']))  # fmt: skip
        text = text[:start] + new + text[end:]
    return harm(draw, text, amiss)


POINTERS = ["", "/", "/gender", "/name/0", "/name/-", "/name/99999999999999999999", "/id", "/meta", "/status",
    "/a~1b", "/~",
            "/extension/0/url", "gender", "/name/0/family/x", "/name/\ud800"]  # fmt: skip
PATHS = ["Patient", "Patient.name", "Patient.name[0]", "Patient.name.where(family='x')", "Patient.id",
    "Observation.value",
         "1/0", "(((", "Patient.name.repeat(name)", "iif(true,1,2)", "Patient.descendants()", "",
             "'x'.matches('(a+)+$')",
         "Patient.name.first().given[0]", "%resource", "now()", "Patient.contact.first()"]  # fmt: skip


@st.composite
def json_patch(draw: Draw) -> Any:
    """A JSON Patch, well formed or not. https://www.rfc-editor.org/rfc/rfc6902"""
    operations = []
    for _ in range(draw(st.sampled_from([0, 1, 1, 2, 5]))):
        one = {"op": draw(st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"])),
               "path": draw(st.sampled_from(POINTERS)), "from": draw(st.sampled_from(POINTERS)),
               "value": nasty(draw)}  # fmt: skip
        if draw(st.booleans()):
            one.pop(draw(st.sampled_from(sorted(one))))
        operations.append(one)
    return draw(st.sampled_from([operations] * 8 + [None, True, {"op": "add"}, [operations]]))


@st.composite
def fhirpath_patch(draw: Draw) -> Any:
    """A FHIRPath Patch, well formed or not. https://hl7.org/fhir/R4/fhirpatch.html"""
    operations = []
    for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
        values = [("valueCode", "male"), ("valueString", "x"), ("valueBoolean", True), ("valueHumanName",
            {"family": "y"}),
                  ("valueInteger", 3), ("valueX", []), ("resource", {})]  # fmt: skip
        key, value = draw(st.sampled_from(values))
        parts = [
            {"name": "type", "valueCode": draw(st.sampled_from(["add", "insert", "delete", "replace", "move", "x"]))},
            {"name": "path", "valueString": draw(st.sampled_from(PATHS))},
            {"name": "name", "valueString": draw(st.sampled_from(["gender", "name", "", "id", "value", "$x"]))},
            {"name": "value", key: value},
            {"name": "index", "valueInteger": draw(st.sampled_from([0, 1, -1, 10**12]))},
        ]
        parts = [part for part in parts if draw(st.integers(0, 7))]
        operations.append({"name": "operation", "part": parts})
    body: Any = {"resourceType": "Parameters", "parameter": operations}
    return spoil(draw, body) if draw(st.integers(0, 2)) == 0 else body
