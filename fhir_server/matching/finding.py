"""The outcome of one test on one patient, and three-valued logic over such outcomes."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from fhir_server.matching.facts import Source

Outcome = Literal["met", "not-met", "unknown"]


class Finding(NamedTuple):
    """An outcome, the words and the versioned references it rests on, and for an unknown what would settle it."""

    outcome: Outcome
    text: str
    evidence: tuple[str, ...] = ()
    action: str = ""
    applies: bool = True  # False: what is asked cannot be of such a patient


def negate(outcome: Outcome) -> Outcome:
    """NOT: unknown stays unknown."""
    return {"met": "not-met", "not-met": "met"}.get(outcome, "unknown")  # type: ignore[return-value]


def at_least(needed: int, outcomes: Iterable[Outcome]) -> Outcome:
    """Whether at least `needed` are met: all for AND, one for OR. Kleene: unknown only if the unknowns could decide."""
    met = unknown = 0
    for outcome in outcomes:
        met += outcome == "met"
        unknown += outcome == "unknown"
    if met >= needed:
        return "met"
    return "unknown" if met + unknown >= needed else "not-met"


def dated(source: Source) -> str:
    """The date of a source in brackets, "" if it has none."""
    return f" ({source.date[:10]})" if source.date else ""


def doubtful(text: str, source: Source, action: str) -> Finding:
    """What would be met, but for the doubt about its source."""
    return Finding("unknown", f"{text}{dated(source)}, but {source.doubt}", (source.reference,), action)
