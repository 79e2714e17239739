"""The most useful next datum: the smallest sets of missing data that could turn an unknown into a match.

https://hl7.org/fhir/R4/metadatatypes.html#DataRequirement

A set could if all that is in it came out well. Whether it does is for the data to say: two criteria that ask opposite
things of one test are seen, contradictions between different tests are not.
"""

from collections.abc import Hashable, Iterable, Iterator
from typing import NamedTuple

from fhir_server.fhir.codec import Resource
from fhir_server.matching.criteria import Leaf, Node
from fhir_server.matching.evaluate import Judged, Result
from fhir_server.matching.facts import SPREAD, STAGES, VARIANT
from fhir_server.matching.genes import HGNC
from fhir_server.matching.kinds import (
    HadTherapy,
    HasDiagnosis,
    HasMetastasis,
    HasResult,
    HasSpecimen,
    HasVariant,
    Holds,
    InPlace,
    OfAge,
    OfSex,
    OfStage,
    Test,
    Unjudged,
)
from fhir_server.matching.values import LOINC
from fhir_server.terminology.codes import Concept

MOST = 32  # sets kept at each group of a tree; the smallest


class Datum(NamedTuple):
    """Something to be recorded: what it is about, and what to do about it."""

    about: Hashable
    action: str


class Way(NamedTuple):
    """A smallest set of missing data, and the criteria that it would settle, in protocol order."""

    data: tuple[Datum, ...]
    criteria: tuple[Judged, ...]

    @property
    def requirements(self) -> list[Resource]:
        """The same as R4 says it, each once."""
        found = [need for one in self.criteria if isinstance(one.node, Leaf) and (need := requirement(one.node.test))]
        return [need for place, need in enumerate(found) if need not in found[:place]]


class _Literal(NamedTuple):
    """That the test of a criterion comes out in one way."""

    place: int  # of the criterion, in protocol order
    datum: Datum
    test: int  # by identity
    holds: bool


_Sets = list[frozenset[_Literal]]


def ways(results: Iterable[Result]) -> list[Way]:
    """The smallest sets, each once, over all ways into a study that are open; none if nothing is unknown."""
    found: dict[frozenset[Datum], Way] = {}
    for result in results:
        for way in _of(result) if result.outcome == "unknown" else ():
            found.setdefault(frozenset(way.data), way)
    least = min(map(len, found), default=0)
    return [way for data, way in found.items() if len(data) == least]


def datum(judged: Judged) -> Datum:
    """What is missing where a single criterion is unknown."""
    assert isinstance(judged.node, Leaf)
    return Datum(_about(judged.node.test), judged.finding.action)


def _of(result: Result) -> Iterator[Way]:
    places = {id(judged.node): place for place, judged in enumerate(result.criteria)}
    for one in _sets(result.root, True, result, places):
        inside = sorted(one, key=lambda literal: literal.place)
        data = tuple(dict.fromkeys(literal.datum for literal in inside))
        yield Way(data, tuple(result.criteria[literal.place] for literal in inside))


def _sets(node: Node, wanted: bool, result: Result, places: dict[int, int]) -> _Sets:
    """What must come out well for a criterion to be met (or failed): nothing if it is, no set if it cannot."""
    if isinstance(node, Leaf):
        judged = result.criteria[places[id(node)]]
        if judged.finding.outcome == "unknown":
            return [frozenset({_Literal(places[id(node)], datum(judged), id(node.test), wanted != node.exclude)})]
        return [frozenset()] if (judged.finding.outcome == "met") == wanted else []
    inner = wanted != node.exclude
    needed = max(node.needed if inner else len(node.parts) - node.needed + 1, 0)
    reached: list[_Sets] = [[frozenset()], *([] for _ in range(needed))]  # reached[n]: for n of the parts seen
    for left, part in zip(range(len(node.parts) - 1, -1, -1), node.parts, strict=True):
        options = _sets(part, inner, result, places)
        for number in range(needed, max(needed - left, 1) - 1, -1):  # fewer cannot become enough
            more = [one | other for one in reached[number - 1] for other in options]
            reached[number] = _smallest([*reached[number], *more])
    return reached[-1]


def _smallest(sets: _Sets) -> _Sets:
    """Those that do not contradict themselves nor hold more than another, the smallest MOST of them."""
    if len(sets) < 2 and all(map(_consistent, sets)):
        return sets
    kept: _Sets = []
    for one in sorted((one for one in sets if _consistent(one)), key=_size):
        if len(kept) < MOST and not any(other <= one for other in kept):
            kept.append(one)
    return kept


def _consistent(one: frozenset[_Literal]) -> bool:
    return len({literal.test for literal in one}) == len({(literal.test, literal.holds) for literal in one})


def _size(one: frozenset[_Literal]) -> tuple[int, int, list[int]]:
    places = sorted(literal.place for literal in one)
    return len({literal.datum for literal in one}), len(one), places


def _about(test: Test) -> Hashable:
    """Tests about the same are settled by the same datum."""
    match test:
        case HasVariant():
            return "variant", test.genes, test.genes or test.concepts
        case HasResult():
            return "result", test.codes
        case HasSpecimen():
            return "specimen", test.concepts
        case HasMetastasis():
            return "spread", test.brain
        case Unjudged():
            return "criterion", test.reason
    return type(test).__name__


def requirement(test: Test) -> Resource | None:
    """The data that would settle a test; None if no data would."""
    match test:
        case HasDiagnosis():
            return _filtered("Condition", ("code", test.concepts))
        case OfAge():
            return {"type": "Patient", "mustSupport": ["birthDate"]}
        case Holds():
            return {"type": "Patient"}
        case OfSex():
            return {"type": "Patient", "mustSupport": ["gender"]}
        case InPlace():
            return {"type": "Patient", "mustSupport": ["address"]}
        case OfStage():
            return _filtered("Observation", ("code", STAGES))
        case HasMetastasis():
            return _filtered("Observation", ("code", SPREAD))
        case HasSpecimen():
            return _filtered("Specimen", ("type", test.concepts))
        case HasVariant():
            genes = [Concept(HGNC, gene) for gene in sorted(test.genes)]
            about = [("component.value", genes)] if genes else []
            return _filtered("Observation", ("code", (Concept(LOINC, VARIANT),)), *about)
        case HasResult():
            return _filtered("Observation", ("code", test.codes))
        case HadTherapy():
            return _filtered("MedicationStatement", ("medication", test.concepts))
    return None


def _filtered(type: str, *filters: tuple[str, Iterable[Concept]]) -> Resource:
    return {"type": type, "codeFilter": [{"path": path, "code": _codings(concepts)} for path, concepts in filters]}


def _codings(concepts: Iterable[Concept]) -> list[Resource]:
    return [{"system": system, "code": code} if system else {"code": code} for system, code in concepts]


def joined(needs: Iterable[Resource]) -> list[Resource]:
    """Requirements of one datum by several trials as few: those alike but for their codes are one."""
    found: dict[tuple[str, ...], Resource] = {}
    for need in needs:
        filters = need.get("codeFilter", ())
        key = need["type"], *need.get("mustSupport", ()), *(one["path"] for one in filters)
        empty = {"codeFilter": [{**one, "code": []} for one in filters]} if filters else {}
        before = found.setdefault(key, {**need, **empty})
        for mine, one in zip(before.get("codeFilter", ()), filters, strict=True):
            mine["code"] += [code for code in one["code"] if code not in mine["code"]]
    return list(found.values())
