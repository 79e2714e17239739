"""Which resources `_include` and `_revinclude` add to a page. https://hl7.org/fhir/R4/search.html#include

Pure functions over index entries: the caller reads what `forward` names and searches for what `reverse` asks.
"""

from collections.abc import Iterable, Iterator, Sequence

from fhir_server.fhir.definitions import Definitions, SearchParam
from fhir_server.search.criteria import stand_ins
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
    for include in includes:
        if not include.reverse:
            continue
        params = definitions.search[include.type].values()
        for param in params if include.param == "*" else [definitions.search[include.type][include.param]]:
            if param.kind != "reference":
                continue
            for name, target in _indexed(definitions, param, include.target):
                for type, id in rows:
                    if target in ("", type) and (not param.target or type in param.target):
                        tests = (("type", "=", type), ("id", "=", id))
                        found.setdefault(include.type, {})[Is(name, tests)] = None
    return [(type, Or(tuple(parts))) for type, parts in found.items()]


def _indexed(definitions: Definitions, param: SearchParam, target: str) -> Iterator[tuple[Param, str]]:
    params, restricted = stand_ins(definitions, param)
    if restricted and target not in ("", restricted):
        return
    for one in params:
        yield param_of(one.code, "reference"), target or restricted
