"""What codes are compared by, shipped and imported: genes with all their names, and the tree of tumours.

The large code systems of a store answer the terminology operations; of these two the matcher needs everything at hand.
A process looks once a second which editions there are, and reads those that are new (interactions/custom.py).
https://hl7.org/fhir/R4/terminology-module.html
"""

import asyncio
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from fhir_server.fhir.codec import decode
from fhir_server.store.terms import EVERY, Edition, Terms
from fhir_server.terminology.codes import Terminology, build, load, shipped

MATCHED = ("http://www.genenames.org", "http://oncotree.mskcc.org")
PAGE = 5000
# Of a property of 43,000 genes only what names sequences is kept.
_KEPT = frozenset({"parent", "inactive", "reference-sequence", "mane-select"})


class Known(NamedTuple):
    """A terminology, and the numbers of the editions that it was made of."""

    terminology: Terminology
    editions: tuple[int, ...]


async def known(terms: Terms) -> Known:
    """The terminology that ships, with the editions of MATCHED that were imported last."""
    while True:
        editions = await _matched(terms)
        numbers = tuple(one.number for one in editions)
        if not editions:
            return Known(_standing(), numbers)
        imported = [await _system(terms, edition) for edition in editions]
        if numbers == await matched(terms):  # else some of it may have been replaced, and removed, while it was read
            return Known(await asyncio.to_thread(build, [*shipped(), *imported]), numbers)


@cache
def _standing() -> Terminology:
    return load()


async def matched(terms: Terms) -> tuple[int, ...]:
    """The numbers of the editions that `known` would be made of."""
    return tuple(one.number for one in await _matched(terms))


async def _matched(terms: Terms) -> list[Edition]:
    return [found[0] for url in MATCHED if (found := await terms.editions(url))]


async def _system(terms: Terms, edition: Edition) -> dict[str, Any]:
    concepts: list[dict[str, Any]] = []
    for offset in range(0, edition.size, PAGE):
        concepts += map(_slim, [decode(term.body) for term in await terms.select(edition.number, EVERY, offset, PAGE)])
    return {**decode(edition.about), "url": edition.url, "concept": concepts}


def _slim(concept: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{key: concept[key] for key in ("code", "display", "designation") if key in concept},
        "property": list(_properties(concept)),
    }


def _properties(concept: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (one for one in concept.get("property", ()) if one["code"] in _KEPT)
