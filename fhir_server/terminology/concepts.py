"""What CodeSystem.concept says of a concept, whichever words its code system has for it. https://hl7.org/fhir/R4/codesystem.html#properties

A concept is a mapping as CodeSystem.concept has it. Its parents stand around it or in a property; that it is inactive,
or stands for others only (abstract), in properties that the code system may call as it likes: their uri tells.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from fhir_server.fhir.codec import Resource
from fhir_server.search.entries import fold

Concept = Mapping[str, Any]
DEFINED = "http://hl7.org/fhir/concept-properties#"
INACTIVE, ABSTRACT = "!inactive", "!abstract"  # keys of such terms
GONE = frozenset({"retired", "inactive", "deprecated"})  # values of a `status` that make a concept inactive
MOST_WORDS = 60  # of one concept that a text filter finds it by
_WORD = re.compile(r"[^\W_]+")


class Names(NamedTuple):
    """The codes of the properties that every code system may have, as one code system spells them."""

    parent: frozenset[str] = frozenset({"parent"})
    inactive: frozenset[str] = frozenset({"inactive"})
    abstract: frozenset[str] = frozenset({"notSelectable"})
    status: frozenset[str] = frozenset({"status"})


def names(about: Resource) -> Names:
    """The names that a CodeSystem declares for R4's own properties, beside the usual ones."""
    found: dict[str, set[str]] = {"parent": set(), "inactive": set(), "notSelectable": set(), "status": set()}
    for declared in about.get("property", ()):
        uri = declared.get("uri", "")
        kept = found.get(uri.removeprefix(DEFINED)) if uri.startswith(DEFINED) else None
        if kept is not None:
            kept.add(declared["code"])
    usual = Names()
    return Names(
        usual.parent | found["parent"],
        usual.inactive | found["inactive"],
        usual.abstract | found["notSelectable"],
        usual.status | found["status"],
    )


def flat(concepts: Iterable[Concept]) -> Iterator[Concept]:
    """Concepts one by one, each before those nested in it, whose parent it becomes by a property."""
    stack: list[tuple[Iterator[Concept], str]] = [(iter(concepts), "")]
    while stack:
        concept = next(stack[-1][0], None)
        if concept is None:
            stack.pop()
            continue
        above = stack[-1][1]
        inner = concept.get("concept")
        own = {key: value for key, value in concept.items() if key != "concept"}
        if above:
            own["property"] = [*own.get("property", ()), {"code": "parent", "valueCode": above}]
        yield own
        if inner:
            stack.append((iter(inner), concept["code"]))


def values(concept: Concept, properties: frozenset[str] | tuple[str, ...]) -> list[Any]:
    """The values of some of its properties, as JSON has them."""
    return [
        value
        for one in concept.get("property", ())
        if one["code"] in properties
        for key, value in one.items()
        if key.startswith("value")
    ]


def parents(concept: Concept, named: Names) -> tuple[str, ...]:
    """The codes right above it."""
    return tuple(dict.fromkeys(plain(value) for value in values(concept, named.parent)))


def is_inactive(concept: Concept, named: Names) -> bool:
    """Whether it is not to be used any more."""
    return True in values(concept, named.inactive) or not GONE.isdisjoint(map(plain, values(concept, named.status)))


def is_abstract(concept: Concept, named: Names) -> bool:
    """Whether it only groups others, so that nobody should choose it."""
    return True in values(concept, named.abstract)


def plain(value: Any) -> str:
    """The value of a property as a filter names it; of a Coding its code."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.get("code", "")) if isinstance(value, Mapping) else str(value)


def words(text: str) -> list[str]:
    """The words of a text, folded."""
    return _WORD.findall(fold(text))


def texts(concept: Concept) -> list[str]:
    """Its display and its designations."""
    found = [one["value"] for one in concept.get("designation", ()) if "value" in one]
    return [concept["display"], *found] if "display" in concept else found


def has(property: str, value: str | None = None) -> str:
    """The key of the terms with a value of a property; without a value, what the keys of all values begin with."""
    return f"p{property}\x01{'' if value is None else value}"


def word(text: str) -> str:
    """The key of the terms that have a word."""
    return f"w{text}"


def keys(concept: Concept, named: Names, above_others: bool) -> tuple[str, ...]:
    """All that a term is selected by, but the codes above it."""
    found = dict.fromkeys(
        has(one["code"], plain(value))
        for one in concept.get("property", ())
        for key, value in one.items()
        if key.startswith("value")
    )
    if above_others:
        found[has("child")] = None
    if is_inactive(concept, named):
        found[INACTIVE] = None
    if is_abstract(concept, named):
        found[ABSTRACT] = None
    told = dict.fromkeys(one for text in (concept["code"], *texts(concept)) for one in words(text))
    return (*found, *(word(one[:60]) for one in [*told][:MOST_WORDS]))
