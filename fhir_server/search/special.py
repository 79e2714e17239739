"""Search parameters that no expression defines. https://hl7.org/fhir/R4/search.html#special"""

from collections.abc import Callable, Mapping

from fhir_server.fhir.outcome import refuse
from fhir_server.search.context import Context, unsupported
from fhir_server.search.filtered import filtered
from fhir_server.search.near import near
from fhir_server.search.params.value import split, unescape
from fhir_server.search.predicate import ID, And, Has, Is, Or, Param, Predicate
from fhir_server.search.words import has_words

ITEM = Param("item", "reference")  # of List


def _words(context: Context, text: str, narrative: bool) -> Predicate:
    """For one of the alternatives, all of its words."""
    found: list[Predicate] = []
    for alternative in split(text, ","):
        parts = tuple(has_words(unescape(alternative), narrative))
        if not parts:
            name = "_text" if narrative else "_content"
            raise refuse(400, "value", f"Search parameter {name!r}: {alternative[:60]!r} has no word to search.")
        context.spend(len(parts))
        found.append(And(parts))
    return Or(tuple(found))


def _list(context: Context, type: str, text: str) -> Predicate:
    """What the List with this id refers to."""
    ids = [unescape(id) for id in split(text, ",")]
    if any(id.startswith("$") for id in ids):
        raise refuse(
            400, "not-supported", f"_list: this server keeps no functional list {text[:40]!r}; give a List's id."
        )
    lists = tuple(Is(ID, (("id", "=", id.removeprefix("List/")),)) for id in ids)
    return Has("List", ITEM, Or(lists))


def _near(context: Context, type: str, text: str) -> Predicate:
    if type != "Location":
        raise unsupported(f"{type} has no search parameter 'near'.")
    found = [near([unescape(part) for part in split(one, "|")], one) for one in split(text, ",")]
    context.spend(20 * len(found))
    return Or(tuple(found))


SPECIAL: Mapping[str, Callable[[Context, str, str], Predicate]] = {
    "_text": lambda context, type, text: _words(context, text, narrative=True),
    "_content": lambda context, type, text: _words(context, text, narrative=False),
    "_list": _list,
    "_filter": filtered,
    "near": _near,
}
