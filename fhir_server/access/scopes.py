"""SMART scopes: read, and cut down to what may be granted. https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html

`patient/Observation.rs?category=laboratory` has a context, a type, letters and a query; `patient/*.read` is the older
spelling of `patient/*.rs`. Letters out of the order `cruds` are no scope, and neither is a query that we could not hold
a caller to: it is never granted and then ignored.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl

from fhir_server.fhir.definitions import Definitions
from fhir_server.fhir.outcome import FhirError
from fhir_server.search.parse import parse_search

LETTERS = "cruds"  # create, read, update, delete, search
# What says who signs in and how, not which resources: granted as it is asked, if the client may have it.
LAUNCH = frozenset(
    {"openid", "fhirUser", "profile", "launch", "launch/patient", "launch/encounter", "offline_access", "online_access"}
)
_OLD = {"read": "rs", "write": "cud", "*": LETTERS}
_SCOPE = re.compile(r"(patient|user|system)/([A-Za-z]+|\*)\.(read|write|\*|c?r?u?d?s?)(?:\?(.+))?", re.ASCII)
_NAME = re.compile(r"[a-z_][a-z\-]*", re.ASCII)  # of a parameter without modifier or chain
_LOOKUPS = frozenset({"_filter", "_has", "_list", "_query", "_text", "_content", "_type"})


class Scope(NamedTuple):
    """What a scope for resources allows: `type` is "*" for all, `letters` some of `cruds`, `query` "" without one."""

    context: str
    type: str
    letters: str
    query: str
    text: str  # as the client wrote it


def read_scope(definitions: Definitions, text: str) -> Scope | None:
    """The scope for resources that `text` names; None for one of LAUNCH and for what is no scope here."""
    found = _SCOPE.fullmatch(text)
    if found is None:
        return None
    context, type_, rights, query = found.groups(default="")
    letters = _OLD.get(rights, rights)
    if not letters or (type_ != "*" and type_ not in definitions.resources):
        return None
    if query and (rights in _OLD or type_ == "*" or not _enforceable(definitions, type_, query)):
        return None
    return Scope(context, type_, letters, query, text)


def grantable(definitions: Definitions, asked: str, most: Iterable[str]) -> tuple[str, ...]:
    """Of the scopes asked for (separated by spaces) what a client that may have `most` is given; perhaps nothing.

    A scope is narrowed rather than refused: to the types, letters and queries of `most`. It keeps its spelling if all
    of it is granted, and the older spelling where that says as much.
    """
    limits = tuple(most)
    wide = [scope for text in limits if (scope := read_scope(definitions, text)) is not None]
    found: dict[str, None] = {}
    for text in asked.split():
        if text in LAUNCH:
            found |= {text: None} if text in limits else {}
            continue
        scope = read_scope(definitions, text)
        if scope is not None:
            found |= dict.fromkeys(_narrowed(scope, wide))
    return tuple(found)


def narrower(definitions: Definitions, asked: str, granted: Sequence[str]) -> bool:
    """Whether each scope asked for lies within those granted: what a refresh may ask for."""
    return all(text in grantable(definitions, text, granted) for text in asked.split())


def _narrowed(scope: Scope, wide: Sequence[Scope]) -> Iterable[str]:
    for limit in wide:
        if limit.context != scope.context or (scope.type != limit.type and "*" not in (scope.type, limit.type)):
            continue
        letters = "".join(letter for letter in scope.letters if letter in limit.letters)
        type_ = limit.type if scope.type == "*" else scope.type
        query = "&".join(dict.fromkeys(part for part in (scope.query, limit.query) if part))
        if not letters:
            continue
        if (type_, letters, query) == (scope.type, scope.letters, scope.query):
            yield scope.text
            return
        old = next((word for word, rights in _OLD.items() if rights == letters), None)
        spelled = old if old and not query and scope.text.endswith((".read", ".write", ".*")) else letters
        yield f"{scope.context}/{type_}.{spelled}" + (f"?{query}" if query else "")


def _enforceable(definitions: Definitions, type: str, query: str) -> bool:
    """Whether the query is of plain parameters with values, so that it can be AND-ed into every search."""
    pairs = tuple(parse_qsl(query, keep_blank_values=True, max_num_fields=20))
    if not pairs or any(not value or not _NAME.fullmatch(name) or name in _LOOKUPS for name, value in pairs):
        return False
    try:
        asked = parse_search(definitions, type, pairs, False, 0, "")
    except (FhirError, ValueError):
        return False
    return not (asked.sort or asked.includes or asked.elements or asked.count is not None or asked.summary)
