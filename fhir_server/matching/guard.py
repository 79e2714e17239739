"""No criteria are stored which cannot be judged, and the matcher is told of what is. https://hl7.org/fhir/R4/researchstudy.html

A Group is checked once a study's enrollment names it, whichever of the two is written second, in the transaction that
writes it: so no way to write goes round it. Criteria in words only are stored; such a study is not matched.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import FhirError, Issue
from fhir_server.fhir.references import parse
from fhir_server.matching.affected import RELEVANT, enrolling
from fhir_server.matching.criteria import compile_study, group_references
from fhir_server.matching.studies import DESCRIBING, mark
from fhir_server.store.seam import Change, Tx
from fhir_server.terminology.codes import Terminology


@dataclass(frozen=True, slots=True)
class StudyGuard:
    """What every transaction is held to before it commits (access/write.py), and who is told of it afterwards."""

    terminology: Terminology
    base: str
    written: asyncio.Event  # set when candidates may have to follow

    async def check(self, tx: Tx, changes: Sequence[Change]) -> None:
        """Raise FhirError 422 if an enrolled Group would be left with criteria that cannot be judged."""
        latest = {(one.type, one.id): one for one in changes if one.type in DESCRIBING}
        if latest:
            await mark(tx)
            await _check(tx, latest.values(), self.terminology, self.base)

    def committed(self, changes: Sequence[Change]) -> None:
        """Wake the matcher if it may have something to do."""
        if any(one.type in RELEVANT for one in changes):
            self.written.set()


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
