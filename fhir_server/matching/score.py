"""How well a patient and a study fit, for ranking. https://hl7.org/fhir/R4/search.html#match-grade"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fhir_server.matching.criteria import Study
from fhir_server.matching.evaluate import Memo, Result, evaluate_study, standing
from fhir_server.matching.facts import Facts
from fhir_server.matching.finding import Outcome, at_least
from fhir_server.terminology.codes import Terminology

# https://hl7.org/fhir/R4/valueset-match-grade.html
GRADES = {"met": "certain", "unknown": "possible", "not-met": "certainly-not"}


class Match(NamedTuple):
    """A patient's outcome for a study with all reasons, and the score from 0 to 1."""

    study: Study
    patient: str
    outcome: Outcome
    results: tuple[Result, ...]
    score: float

    @property
    def grade(self) -> str:
        """The code of the match-grade extension."""
        return GRADES[self.outcome]


def matched(study: Study, facts: Facts, terminology: Terminology, when: int, memo: Memo | None = None) -> Match:
    """Judge a pair at clinical time `when` (µs); `memo` as in evaluate_study."""
    outcome, results = evaluate_study(study, facts, terminology, when, memo)
    tops = ([judged.finding.outcome for judged in one.criteria if judged.depth == 0] for one in results)
    return Match(study, facts.id, outcome, results, score(zip((one.outcome for one in results), tops, strict=True)))


def scored(
    study: Study, facts: Facts, terminology: Terminology, when: int, memo: Memo | None = None
) -> tuple[Outcome, float]:
    """The outcome and the score of a pair without the reasons: a fraction of the work."""
    ways = standing(study, facts, terminology, when, memo)
    return at_least(1, [outcome for outcome, _ in ways]), score(ways)


def score(ways: Iterable[tuple[Outcome, Sequence[Outcome]]]) -> float:
    """1 if every criterion is met, 0 if one fails; else the share of an arm's criteria that are met among those that
    are met or unknown, best arm first, never quite 0 or 1. `ways`: the outcome of each arm, and of its criteria."""
    ways = list(ways)
    outcome = at_least(1, [one for one, _ in ways])
    if outcome != "unknown":
        return float(outcome == "met")
    return min(max(round(max(_share(tops) for one, tops in ways if one == "unknown"), 3), 0.01), 0.99)


def _share(outcomes: Sequence[Outcome]) -> float:
    met = outcomes.count("met")
    return met / (met + outcomes.count("unknown"))
