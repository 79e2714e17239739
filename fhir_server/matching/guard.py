"""A store that takes no criteria which cannot be judged, and tells the matcher of what it takes. https://hl7.org/fhir/R4/researchstudy.html

A Group is checked once a study's enrollment names it, whichever of the two is written second, in the transaction that
writes it: so no way to write goes round it. Criteria in words only are stored; such a study is not matched.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import FhirError, Issue
from fhir_server.fhir.references import parse
from fhir_server.matching.affected import RELEVANT, enrolling
from fhir_server.matching.criteria import compile_study, group_references
from fhir_server.store.seam import Change, Store, Stored, Tx
from fhir_server.terminology.codes import Terminology

T = TypeVar("T")


class _Watched:
    """A Tx that remembers which studies and criteria it wrote."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.written: dict[tuple[str, str], Change] = {}
        self.relevant = False  # whether candidates may have to follow
        self.read, self.search, self.began = tx.read, tx.search, tx.began
        self.rule, self.share, self.own = tx.rule, tx.share, tx.own
        self.get_state, self.put_state, self.expunge = tx.get_state, tx.put_state, tx.expunge

    async def write(self, change: Change) -> Stored:
        """As Tx.write."""
        self.relevant = self.relevant or change.type in RELEVANT
        if change.type in ("Group", "ResearchStudy"):
            self.written[change.type, change.id] = change
        return await self._tx.write(change)


class Guarded:
    """A Store like the one it is made of; but a transaction raises FhirError 422 if it would leave an enrolled Group
    with criteria that cannot be judged. `written` is set when candidates may have to follow."""

    def __init__(self, store: Store, terminology: Terminology, base: str, written: asyncio.Event) -> None:
        self._store, self._terminology, self._base = store, terminology, base
        self._written = written
        self.read, self.search, self.count, self.history = store.read, store.search, store.count, store.history
        self.scan, self.changes, self.explain = store.scan, store.changes, store.explain
        self.reindex, self.check, self.close = store.reindex, store.check, store.close
        self.get_state, self.list_state = store.get_state, store.list_state
        self.put_state, self.delete_state, self.settled = store.put_state, store.delete_state, store.settled
        self.terms = store.terms

    async def transact(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        """As Store.transact."""

        relevant = False

        async def watched(tx: Tx) -> T:
            nonlocal relevant
            watch = _Watched(tx)
            result = await work(watch)
            relevant = watch.relevant
            if watch.written:
                await _check(tx, watch.written.values(), self._terminology, self._base)
            return result

        result = await self._store.transact(watched)
        if relevant:
            self._written.set()
        return result


async def _check(tx: Tx, written: Iterable[Change], terminology: Terminology, base: str) -> None:
    studies: dict[str, Resource] = {}
    for change in written:
        if change.method == "DELETE":
            continue
        if change.type == "ResearchStudy":
            studies[change.id] = codec.decode(change.body)
        elif codec.decode(change.body).get("actual") is False:
            studies |= {id: codec.decode(row.body) for id, row in (await enrolling(tx.search, change.id)).items()}
    for study in studies.values():
        groups = await _groups(tx, study, base)
        compiled = compile_study({**study, "status": "active"}, 1, groups.get, terminology)
        issues = [
            Issue("not-supported", f"{problem.where}: {problem.text}.", (problem.path,))
            for problem in compiled.problems
            if problem.path
        ]
        if issues:
            raise FhirError(422, issues)


async def _groups(tx: Tx, study: Resource, base: str) -> dict[str, tuple[Resource, int]]:
    """The Groups of a study by the references as written."""
    found: dict[str, tuple[Resource, int]] = {}
    open_ = list(group_references(study))
    while open_:
        text = open_.pop()
        target = parse(text, base)
        if text in found or target.type != "Group":
            continue
        row = await tx.read("Group", target.id)
        if row is not None and not row.deleted:
            group = codec.decode(row.body)
            found[text] = group, row.version
            open_ += group_references(group)
    return found
