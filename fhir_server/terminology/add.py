"""A code system into the store: numbered, closed and written in batches; it answers when all of it is there. https://hl7.org/fhir/R4/codesystem.html"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NamedTuple

from fhir_server.fhir.codec import encode
from fhir_server.store.terms import Term, Terms
from fhir_server.terminology.closure import Tree, closure
from fhir_server.terminology.concepts import Concept, Names, keys, names, parents
from fhir_server.terminology.formats.content import Content, checksum

BATCH = 10_000  # terms written in one transaction
GRACE = 2.0  # seconds in which requests that still read the former edition end


class Added(NamedTuple):
    """What an import did: `pairs` are (concept, something above it), `strange` parents that are no concepts."""

    url: str
    version: str
    concepts: int
    inactive: int
    pairs: int
    strange: int
    unchanged: bool = False


async def add(
    terms: Terms, content: Content, report: Callable[[int, int], None] = lambda done, all: None, grace: float = GRACE
) -> Added:
    """Import a code system, unless the same files were imported before as this version. Nothing of it answers before
    all is written. Raises ValueError for a code that comes twice, a cycle or a malformed file: nothing then stays."""
    url, version = content.about["url"], content.about.get("version", "")
    digest = checksum(content.files)
    for edition in await terms.editions(url):
        if (edition.version, edition.checksum) == (version, digest):
            return Added(url, version, edition.size, 0, 0, 0, unchanged=True)
    named = names(content.about)
    tree = closure((concept["code"], parents(concept, named)) for concept in content.concepts())
    number = await terms.begin(url, version, digest, encode(content.about))
    done = inactive = 0
    try:
        batches = _batches(content.concepts(), tree, named)
        following = next(batches, [])
        while batch := following:
            following = await _meanwhile(terms.add(number, batch), lambda: next(batches, []))
            done += len(batch)
            inactive += sum("!inactive" in term.keys for term in batch)
            report(done, len(tree.numbers))
        former = await terms.finish(number)
    except BaseException:
        await terms.remove(number)
        raise
    if former:
        await asyncio.sleep(grace)
        for one in former:
            await terms.remove(one)
    return Added(url, version, done, inactive, sum(map(len, tree.above)), tree.strange)


async def _meanwhile(writing: Coroutine[Any, Any, None], make: Callable[[], list[Term]]) -> list[Term]:
    """What a thread makes while the store writes. Both have ended when this returns or raises what one of them did."""
    making = asyncio.ensure_future(asyncio.to_thread(make))
    try:
        await writing
    finally:
        made = await making
    return made


def _batches(concepts: Iterator[Concept], tree: Tree, named: Names) -> Iterator[list[Term]]:
    batch: list[Term] = []
    for n, concept in enumerate(concepts):
        made = keys(concept, named, bool(tree.inner[n]))
        batch.append(Term(n, concept["code"], tuple(tree.above[n]), made, encode(concept)))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
