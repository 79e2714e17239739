"""Criteria against facts: met, not met or unknown, with evidence. https://hl7.org/fhir/R4/group.html"""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

from fhir_server.fhir.dates import DAY
from fhir_server.matching.answers import answer
from fhir_server.matching.criteria import Branch, Leaf, Node, Study
from fhir_server.matching.facts import Facts
from fhir_server.matching.finding import Finding, Outcome, at_least, negate
from fhir_server.matching.fresh import fresh
from fhir_server.matching.kinds import Duration
from fhir_server.terminology.codes import Terminology

_EPOCH = date(1970, 1, 1).toordinal()


class Judged(NamedTuple):
    """A criterion or a group of them with its finding; `open` when it is unknown and to know it could change the
    outcome. `depth` is 0 for the characteristics of the arm's own Group; a group stands before its members."""

    node: Node
    finding: Finding
    open: bool
    depth: int


class Result(NamedTuple):
    """How a patient stands to one way into a study; every criterion in protocol order."""

    groups: tuple[str, ...]
    arm: str
    outcome: Outcome
    criteria: tuple[Judged, ...]
    root: Branch


# What tests came to for one patient on one day, by identity of the test: studies share most of theirs.
Memo = dict[tuple[int, Duration | None], Finding]


class _Asking(NamedTuple):
    """Of whom, and when, criteria are asked."""

    facts: Facts
    terminology: Terminology
    today: date
    memo: Memo


def _asking(facts: Facts, terminology: Terminology, now: int, memo: Memo | None = None) -> _Asking:
    return _Asking(facts, terminology, date.fromordinal(_EPOCH + now // DAY), {} if memo is None else memo)


def evaluate_study(
    study: Study, facts: Facts, terminology: Terminology, now: int, memo: Memo | None = None
) -> tuple[Outcome, tuple[Result, ...]]:
    """The outcome for the study (one way in is enough) and for each of its ways in, at time `now` (µs).

    A `memo` may be shared by calls for the same patient and time."""
    asking = _asking(facts, terminology, now, memo)
    results = []
    for alternative in study.alternatives:
        criteria: list[Judged] = []
        outcome = _node(alternative.root, asking, criteria, 0)
        results.append(Result(alternative.groups, alternative.arm, outcome, tuple(criteria), alternative.root))
    return at_least(1, [result.outcome for result in results]), tuple(results)


def evaluate_tree(node: Node, facts: Facts, terminology: Terminology, now: int, into: list[Judged]) -> Outcome:
    """The outcome of a tree at time `now` (µs); what each criterion came to is added to `into`."""
    return _node(node, _asking(facts, terminology, now), into, 0)


def quick(node: Node, facts: Facts, terminology: Terminology, now: int) -> Outcome:
    """The same outcome without reasons."""
    return _quick(node, _asking(facts, terminology, now))


def fails(study: Study, facts: Facts, terminology: Terminology, now: int, memo: Memo | None = None) -> bool:
    """Whether no way into the study is open to the patient: the same answer, without reasons, ten times as fast."""
    asking = _asking(facts, terminology, now, memo)
    return all(_quick(way.root, asking) == "not-met" for way in study.alternatives)


def standing(
    study: Study, facts: Facts, terminology: Terminology, now: int, memo: Memo | None = None
) -> list[tuple[Outcome, list[Outcome]]]:
    """For each way into a study the outcome, and those of the characteristics of its own Group; without reasons. The
    latter are left out for a way that is closed."""
    asking = _asking(facts, terminology, now, memo)
    found: list[tuple[Outcome, list[Outcome]]] = []
    for way in study.alternatives:
        outcome = _quick(way.root, asking)
        found.append((outcome, [] if outcome == "not-met" else [_quick(one, asking) for one in _top(way.root)]))
    return found


def _top(root: Branch) -> Iterator[Node]:
    """The nodes that are shown at depth 0."""
    for part in root.parts:
        if isinstance(part, Branch) and not part.id:
            yield from _top(part)
        else:
            yield part


def _quick(node: Node, asking: _Asking) -> Outcome:
    if isinstance(node, Leaf):
        outcome = _found(node, asking).outcome
        return negate(outcome) if node.exclude else outcome
    met, possible = 0, len(node.parts)
    for part in node.parts:
        if met >= node.needed or possible < node.needed:
            break
        outcome = _quick(part, asking)
        met += outcome == "met"
        possible -= outcome == "not-met"
    outcome = "met" if met >= node.needed else "unknown" if possible >= node.needed else "not-met"
    return negate(outcome) if node.exclude else outcome


def _node(node: Node, asking: _Asking, into: list[Judged], depth: int) -> Outcome:
    if isinstance(node, Leaf):
        finding = evaluate(node, asking)
        into.append(Judged(node, finding, finding.outcome == "unknown", depth))
        return finding.outcome
    start, shown = len(into), bool(node.id)
    below = depth + shown
    outcomes = [_node(part, asking, into, below) for part in node.parts]
    reached = at_least(node.needed, outcomes)
    if reached != "unknown":
        for place in range(start, len(into)):
            if into[place].open:
                into[place] = into[place]._replace(open=False)
    outcome = negate(reached) if node.exclude else reached
    if shown:
        into.insert(start, Judged(node, Finding(outcome, _tally(node, into[start:], below)), False, depth))
    return outcome


def _tally(node: Branch, members: list[Judged], depth: int) -> str:
    """How the members of a group stand: `any of 2: 1 met, 1 unknown`."""
    stand = Counter(judged.finding.outcome for judged in members if judged.depth == depth)
    return f"{node.text}: " + ", ".join(f"{count} {outcome}" for outcome, count in stand.items())


def evaluate(leaf: Leaf, asking: _Asking) -> Finding:
    """The finding of a single criterion; what is excluded is met by those who do not have it."""
    finding = _found(leaf, asking)
    return finding._replace(outcome=negate(finding.outcome)) if leaf.exclude else finding


def _found(leaf: Leaf, asking: _Asking) -> Finding:
    key = id(leaf.test), leaf.max_age
    finding = asking.memo.get(key)
    if finding is None:
        finding = asking.memo[key] = answered(leaf, asking.facts, asking.terminology, asking.today)
    return finding


def answered(leaf: Leaf, facts: Facts, terminology: Terminology, today: date) -> Finding:
    """The finding of a criterion's test, by evidence as recent as the criterion asks; not yet negated."""
    finding = answer(leaf.test, facts, terminology, today)
    if leaf.max_age is None or finding.outcome == "unknown":
        return finding
    recent = answer(leaf.test, fresh(facts, leaf.max_age.before(today)), terminology, today)
    if recent.outcome != "unknown":
        return recent
    text = f"{finding.text}, but not surely within the last {leaf.max_age}"
    return Finding("unknown", text, finding.evidence, recent.action)
