"""Bundles: spliced from stored bytes on the way out, references rewritten on the way in. https://hl7.org/fhir/R4/bundle.html"""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import cache
from typing import Any, NamedTuple

from fhir_server.fhir.codec import encode
from fhir_server.fhir.definitions import load

# A reference by search: https://hl7.org/fhir/R4/http.html#trules ("conditional references")
CONDITIONAL = re.compile(r"[A-Z][A-Za-z]{1,63}\?.+", re.ASCII | re.DOTALL)
_LINK = re.compile(r"""(\b(?:href|src)\s*=\s*)(?:"([^"]*)"|'([^']*)')""")


def bundle(
    type: str, entries: Sequence[bytes], *, links: Iterable[tuple[str, str]] = (), total: int | None = None
) -> bytes:
    """The JSON bytes of a Bundle of `type` around entries that are bytes already; links are (relation, url)."""
    head = [b'{"resourceType":"Bundle","type":"', type.encode(), b'"']
    if total is not None:
        head.append(b',"total":%d' % total)
    found = [{"relation": relation, "url": url} for relation, url in links]
    if found:
        head += [b',"link":', encode(found)]
    if entries:  # an empty array is not allowed in FHIR's JSON
        head += [b',"entry":[', b",".join(entries), b"]"]
    head.append(b"}")
    return b"".join(head)


def search_entry(full_url: str, body: bytes, mode: str) -> bytes:
    """An entry of a searchset: mode is match, include or outcome (which has no address: `full_url` "")."""
    address = b'"fullUrl":' + encode(full_url) + b"," if full_url else b""
    return b"{" + address + b'"resource":' + body + b',"search":{"mode":"' + mode.encode() + b'"}}'


def entry(full_url: str, body: bytes, request: Mapping[str, str], response: Mapping[str, Any]) -> bytes:
    """An entry of a history or of a response bundle; parts that are empty are left out."""
    parts = []
    if full_url:
        parts.append(b'"fullUrl":' + encode(full_url))
    if body:
        parts.append(b'"resource":' + body)
    if request:
        parts.append(b'"request":' + encode(request))
    if response:
        parts.append(b'"response":' + encode(response))
    return b"{" + b",".join(parts) + b"}"


@cache
def linking_names() -> frozenset[str]:
    """The JSON names of elements that are a uri, url, oid, uuid or canonical somewhere in R4; `reference` and `div`."""
    kinds = {"uri", "url", "oid", "uuid", "canonical"}
    elements = (element for shape in load().structures.values() for element in shape.elements.values())
    return frozenset({element.name for element in elements if element.type in kinds} | {"reference", "div"})


class Place(NamedTuple):
    """Where a text stands that names another entry or a search: `holder[key]`, and what was written there."""

    holder: Any
    key: Any
    text: str


def places(resource: Any, addresses: Set[str], names: Set[str]) -> list[Place]:
    """All places in a decoded resource that may have to be rewritten when it enters the server.

    These are references and values of uri, url, oid, uuid and canonical elements that equal one of the bundle's
    `addresses`, conditional references, and narrative with links. `names`: what `linking_names` gives.
    """
    found: list[Place] = []
    nodes = [resource]
    for node in nodes:  # a list that grows: every resource of a bundle is walked
        for key, child in node.items():
            kind = type(child)
            if kind is str:
                if key in names and (child in addresses or _links(key, child)):
                    found.append(Place(node, key, child))
            elif kind is dict:
                nodes.append(child)
            elif kind is list:
                for at, item in enumerate(child):
                    if type(item) is dict:
                        nodes.append(item)
                    elif type(item) is str and key in names and item in addresses:
                        found.append(Place(child, at, item))
    return found


def _links(key: str, text: str) -> bool:
    if key == "reference":
        return "?" in text and CONDITIONAL.fullmatch(text) is not None
    return key == "div" and _LINK.search(text) is not None


def point(found: Iterable[Place], targets: Mapping[str, str]) -> None:
    """Write the targets into the places; may be called again with other targets."""
    for holder, key, text in found:
        holder[key] = _narrative(text, targets) if key == "div" else targets.get(text, text)


def _narrative(div: str, targets: Mapping[str, str]) -> str:
    def link(match: re.Match[str]) -> str:
        old = match[2] if match[2] is not None else match[3]
        return f'{match[1]}"{targets[old]}"' if old in targets else match[0]

    return _LINK.sub(link, div)
