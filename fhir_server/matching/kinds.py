"""The kinds of test that a criterion may be. See docs/matching.md for the codes they are written with."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from fhir_server.matching.facts import Found
from fhir_server.matching.hgvs import Variant
from fhir_server.matching.values import Span
from fhir_server.terminology.codes import Concept


class Duration(NamedTuple):
    """A time span in whole units of UCUM's d, wk, mo or a."""

    value: int
    unit: str

    def before(self, today: date) -> date:
        """The day that lies this long ago; where a month is too short, its last day."""
        if self.unit in ("d", "wk"):
            return today - timedelta(days=self.value * (7 if self.unit == "wk" else 1))
        months = today.year * 12 + today.month - 1 - self.value * (12 if self.unit == "a" else 1)
        year, month = divmod(months, 12)
        for day in (today.day, 30, 29, 28):
            try:
                return date(year, month + 1, day)
            except ValueError:
                continue
        return date.min

    def __str__(self) -> str:
        return f"{self.value} {UNITS[self.unit]}"


UNITS = {"a": "years", "mo": "months", "wk": "weeks", "d": "days"}


@dataclass(frozen=True, slots=True)
class HasDiagnosis:
    """A condition that is one of these synonyms or lies below it."""

    text: str
    concepts: tuple[Concept, ...]


@dataclass(frozen=True, slots=True)
class HasMetastasis:
    """Spread to distant organs, or (`brain`) to the brain."""

    text: str
    brain: bool


@dataclass(frozen=True, slots=True)
class OfStage:
    """A stage from 0 to 4 with its letter ("" for any)."""

    text: str
    number: int
    letter: str


@dataclass(frozen=True, slots=True)
class OfAge:
    """Completed units of age within a span."""

    text: str
    span: Span
    unit: str


@dataclass(frozen=True, slots=True)
class OfSex:
    """Recorded as male or female."""

    text: str
    sex: str


@dataclass(frozen=True, slots=True)
class InPlace:
    """A home in a country, or in a part of it (`US-MD`); any of them."""

    text: str
    places: frozenset[str]


@dataclass(frozen=True, slots=True)
class VariantGroup:
    """A categorical variant: each constraint that is given must hold, any of its values will do. The names are those of
    GA4GH's Cat-VRS where it has one: https://cat-vrs.readthedocs.io"""

    genes: frozenset[str]  # FeatureContext
    edits: frozenset[str] = frozenset()
    first: int = 0  # DefiningLocation: residues
    last: int = 0
    changes: frozenset[str] = frozenset()  # DefiningAllele, at protein level
    consequences: frozenset[str] = frozenset()  # ProteinSequenceConsequence, as Sequence Ontology codes
    exons: frozenset[int] = frozenset()
    copies: str = ""  # CopyChange: gain, low-gain, high-gain, loss, partial-loss, complete-loss
    fusion: bool = False
    origin: str = ""  # germline or somatic
    oncogenic: bool = False
    frequency: Decimal = Decimal(0)  # the least allelic frequency, from 0 to 1
    categories: frozenset[str] = frozenset()  # small, copy-number, fusion
    partner: str = ""  # the other gene of a fusion
    effect: str = ""  # gain-of-function or loss-of-function

    def described(self, change: Variant) -> bool | None:
        """Whether a protein change is one of the group; None if the group is not told by its changes."""
        if change.change in self.changes:
            return change.kind == "p"
        if not (self.edits or self.changes):
            return None
        return change.edit in self.edits and self.first <= change.start and change.end <= self.last

    @property
    def plain(self) -> bool:
        """Whether it is told by its changes alone."""
        only = VariantGroup(self.genes, self.edits, self.first, self.last, self.changes, exons=self.exons)
        return replace(self, categories=self.categories - {"small"}) == only

    def holds(self, found: Found) -> bool | None:
        """Whether a reported variant of one of the genes belongs to the group; None if that cannot be told."""
        return _all(
            (
                self._located(found),
                _among(self.consequences, found.consequences),
                _copied(self.copies, found.copies),
                not self.fusion or found.fusion or (False if found.changes else None),
                _among(self.categories, frozenset((found.category,)) - {""}),
                not self.partner or self.partner in found.genes or (False if len(found.genes) > 1 else None),
                _one(self.effect, found.effect),
                _one(self.origin, found.origin),
                not self.oncogenic or found.oncogenic,
                None if self.frequency and found.frequency is None else (found.frequency or 0) >= self.frequency,
            )
        )

    def _located(self, found: Found) -> bool | None:
        proteins = [change for change in found.changes if change.kind == "p"]
        if any(map(self.described, proteins)):
            return True
        if self.edits or self.changes:
            within = bool(self.exons & found.exons) and any(change.edit in self.edits for change in proteins)
            return within or (False if proteins else None)
        if self.last and proteins:
            return any(self.first <= change.start and change.end <= self.last for change in proteins)
        return _among(frozenset(map(str, self.exons)), frozenset(map(str, found.exons)))


def _all(parts: tuple[bool | None, ...]) -> bool | None:
    return False if False in parts else None if None in parts else True


def _among(wanted: frozenset[str], found: frozenset[str]) -> bool | None:
    return True if not wanted else bool(wanted & found) if found else None


def _one(wanted: str, found: str) -> bool | None:
    return True if not wanted else found == wanted if found else None


_WIDER = {"low-gain": "gain", "high-gain": "gain", "partial-loss": "loss", "complete-loss": "loss"}


def _copied(wanted: str, found: str) -> bool | None:
    """Copy changes: a high gain is a gain; a gain may be a high one."""
    if not wanted or found == wanted or (found and _WIDER.get(found) == wanted):
        return True
    return None if not found or _WIDER.get(wanted) == found else False


@dataclass(frozen=True, slots=True)
class HasVariant:
    """A variant: any of the gene (`whole_gene`), a change, a group of them, or what carries one of the concepts."""

    text: str
    concepts: frozenset[Concept]
    genes: frozenset[str]
    whole_gene: bool
    changes: tuple[Variant, ...]
    groups: tuple[VariantGroup, ...]


@dataclass(frozen=True, slots=True)
class HasResult:
    """The newest result under one of the codes lies within a span, or is one of the coded answers. `not_for`: the sex
    to which it does not apply."""

    text: str
    name: str
    codes: tuple[Concept, ...]
    span: Span | None
    unit: str
    answers: tuple[Concept, ...]
    not_for: str = ""


@dataclass(frozen=True, slots=True)
class HadTherapy:
    """A medication or procedure that is one of these synonyms or lies below it; within the washout, if there is one."""

    text: str
    concepts: tuple[Concept, ...]
    washout: Duration | None = None


@dataclass(frozen=True, slots=True)
class HasSpecimen:
    """An available specimen of a type that is one of these synonyms or lies below it."""

    text: str
    concepts: tuple[Concept, ...]


@dataclass(frozen=True, slots=True)
class Holds:
    """A FHIRPath expression on the Patient is true; `daily` if it asks for the day."""

    text: str
    expression: str
    daily: bool


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A criterion that cannot be judged, and why."""

    text: str
    reason: str


Test = (
    HasDiagnosis
    | HasMetastasis
    | OfStage
    | OfAge
    | OfSex
    | InPlace
    | HasVariant
    | HasResult
    | HadTherapy
    | HasSpecimen
    | Holds
    | Unjudged
)
