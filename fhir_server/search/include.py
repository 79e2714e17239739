"""Which resources `_include` and `_revinclude` add to a page. https://hl7.org/fhir/R4/search.html#include

Pure functions over index entries: the caller reads what `forward` names and searches for what `reverse` asks.
"""

from collections.abc import Iterable, Iterator, Sequence

from fhir_server.fhir.definitions import Definitions, SearchParam
from fhir_server.search.context import stand_ins
from fhir_server.search.index import param_of
from fhir_server.search.predicate import Entry, Is, Or, Param, Predicate
from fhir_server.search.query import Include

Key = tuple[str, str]  # type and id


def forward(
    definitions: Definitions, includes: Iterable[Include], rows: Iterable[tuple[str, Sequence[Entry]]]
) -> list[Key]:
    """The resources of this server that the given ones (type and index entries) refer to by `includes`, each once, in
    the order in which they are found. They may be missing, hidden, or among the rows."""
    wanted = [include for include in includes if not include.reverse]
    found: dict[Key, None] = {}
    by_type: dict[str, list[tuple[Param | None, str]]] = {}
    for type, entries in rows:
        if type not in by_type:
            by_type[type] = list(_links(definitions, wanted, type))
        for param, target in by_type[type]:
            for entry in entries:
                known = entry[0].kind == "reference" and entry[2] and target in ("", entry[1])
                if known and param in (None, entry[0]):
                    found[entry[1], entry[2]] = None
    return list(found)


def _links(definitions: Definitions, includes: Iterable[Include], type: str) -> Iterator[tuple[Param | None, str]]:
    """For one type of rows: the indexed parameter to follow (None: all) and the type that counts ("": any)."""
    for include in includes:
        if include.param == "*":
            if include.type in ("*", type):
                yield None, include.target
        elif include.type == type:
            yield from _indexed(definitions, definitions.search[type][include.param], include.target)


def reverse(definitions: Definitions, includes: Iterable[Include], rows: Sequence[Key]) -> list[tuple[str, Predicate]]:
    """For every type that `includes` names: the predicate of its resources that refer to one of the rows."""
    found: dict[str, dict[Predicate, None]] = {}
    for include, source in [(one, type) for one in includes if one.reverse for type in _sources(definitions, one)]:
        params = definitions.search[source]
        for param in params.values() if include.param == "*" else [params[include.param]]:
            if param.kind != "reference" or not param.expression:
                continue
            for name, target in _indexed(definitions, param, include.target):
                meant = tuple(
                    row for row in rows if target in ("", row[0]) and (not param.target or row[0] in param.target)
                )
                if meant:
                    found.setdefault(source, {})[Is(name, (("type,id", "in", meant),))] = None
    return [(type, Or(tuple(parts))) for type, parts in found.items()]


def _sources(definitions: Definitions, include: Include) -> Iterable[str]:
    return sorted(definitions.resources) if include.type == "*" else (include.type,)


def _indexed(definitions: Definitions, param: SearchParam, target: str) -> Iterator[tuple[Param, str]]:
    params, restricted = stand_ins(definitions, param)
    if restricted and target not in ("", restricted):
        return
    for one in params:
        yield param_of(one.code, "reference"), target or restricted
