"""How well a patient and a study fit, for ranking. https://hl7.org/fhir/R4/search.html#match-grade"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from fhir_server.matching.criteria import Study
from fhir_server.matching.evaluate import Memo, Result, evaluate_study
from fhir_server.matching.facts import Facts
from fhir_server.matching.finding import Outcome
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
    return Match(study, facts.id, outcome, results, score(outcome, results))


def score(outcome: Outcome, results: Iterable[Result]) -> float:
    """1 if every criterion is met, 0 if one fails; else the share of an arm's criteria that are met among those that
    are met or unknown, best arm first, never quite 0 or 1."""
    if outcome != "unknown":
        return float(outcome == "met")
    return min(max(round(max(_share(r) for r in results if r.outcome == "unknown"), 3), 0.01), 0.99)


def _share(result: Result) -> float:
    stand = Counter(judged.finding.outcome for judged in result.criteria if judged.depth == 0)
    return stand["met"] / (stand["met"] + stand["unknown"])
