"""MatchMiner's own reading of a CTML trial, in two values, for people who migrate. See docs/ctml.md, Compatibility.

What is not recorded is not there: a criterion that nothing shows to be met is failed, and its opposite met. Clauses of
steps, arms and dose levels are judged each by itself. Nothing that is judged so is ever stored.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from fhir_server.fhir.dates import DAY, bounds
from fhir_server.matching.answers import answer
from fhir_server.matching.ctml import words as w
from fhir_server.matching.ctml.clinical import CLINICAL, RESULTS, TREATMENT, Key
from fhir_server.matching.ctml.levels import Level, levels
from fhir_server.matching.ctml.study import status_word
from fhir_server.matching.facts import MSI, Facts, Found
from fhir_server.matching.genes import Genes, genes_of
from fhir_server.matching.kinds import Duration
from fhir_server.matching.leaves import AMINO_ACIDS, leaf_test
from fhir_server.matching.values import LOINC
from fhir_server.terminology.codes import Concept, Terminology

_EPOCH = date(1970, 1, 1).toordinal()
_OPEN = ("open to accrual", "recruiting")
_IGNORED = frozenset({"disease_status", "display_name"})
# Keys that UHN's tools write and no engine reads: a query for them finds nobody.
_UNREAD = frozenset({"ecog_expression", "number_prior_lines_therapy_allowed", "llm_stage_group", "llm_class_m",
                     "agent_class", "germline", "annotated_variant"})  # fmt: skip
_CATEGORY = {"small": "MUTATION", "": "MUTATION", "copy-number": "CNV", "fusion": "SV"}
_CALL = {"high-gain": "High level amplification", "low-gain": "Gain", "gain": "Gain",
         "complete-loss": "Homozygous deletion", "partial-loss": "Heterozygous deletion"}  # fmt: skip
_CALLS = {"High Amplification": "High level amplification", "Low Amplification": "Gain",
          "Homozygous Deletion": "Homozygous deletion", "Heterozygous Deletion": "Heterozygous deletion"}  # fmt: skip
_REPAIR = {"MMR-Deficient": True, "MSI-H": True, "MMR-Proficient": False, "MSI-L": False, "MSS": False}


class Row(NamedTuple):
    """A reported variant as MatchMiner has it: one row of its genomic collection."""

    genes: frozenset[str]
    category: str
    wild: bool
    changes: frozenset[str]
    exons: frozenset[int]
    classes: frozenset[str]
    call: str
    effect: str


class _Asking(NamedTuple):
    facts: Facts
    rows: tuple[Row, ...]
    terminology: Terminology
    today: date


def matches(document: dict[str, Any], facts: Facts, terminology: Terminology, today: date) -> list[Level]:
    """The open levels of a document whose clause the patient matches, in the order of the document."""
    if status_word(document).lower() not in _OPEN:
        return []
    asking = _Asking(facts, rows(facts, genes_of(terminology)), terminology, today)
    found = levels(document, [])
    return [
        level
        for level in found
        if level.kind != "trial" and level.body.get("match") and not _closed(level, found)
        and _all(level.body["match"], asking)
    ]  # fmt: skip


def _closed(level: Level, found: list[Level]) -> bool:
    """Only the level's own flag counts; a step is closed with the last of its arms."""
    if level.kind != "step":
        return level.suspended
    arms = [one for one in found if one.kind == "arm" and one.above is level]
    return all(arm.suspended for arm in arms)


def rows(facts: Facts, genes: Genes) -> tuple[Row, ...]:
    """The rows that the facts of a patient amount to; what is in doubt is none."""
    return tuple(_row(found, genes) for found in facts.variants if found.present is not None and not found.source.doubt)


def _row(found: Found, genes: Genes) -> Row:
    return Row(
        genes=frozenset(map(genes.symbol, found.genes)),
        category=_CATEGORY[found.category],
        wild=found.present is False,
        changes=frozenset(f"p.{change.change}" for change in found.changes if change.kind == "p"),
        exons=found.exons,
        classes=frozenset(word for word, code in w.CLASSES.items() if code in found.consequences),
        call=_CALL.get(found.copies, ""),
        effect=found.effect,
    )


def _all(nodes: list[Mapping[str, Any]], asking: _Asking) -> bool:
    return all(_node(node, asking) for node in nodes)


def _node(node: Mapping[str, Any], asking: _Asking) -> bool:
    ((kind, body),) = node.items()
    match kind:
        case "and":
            return _all(body, asking)
        case "or":
            return any(_node(one, asking) for one in body)
        case "clinical":
            return all(_key(CLINICAL, name, value, asking) for name, value in body.items())
        case "genomic":
            return _genomic(body, asking)
    return all(_key(TREATMENT, name, value, asking) for name, value in body.items())


def _key(keys: tuple[Key, ...], name: str, value: Any, asking: _Asking) -> bool:
    """One key, as our criterion for it: met, or else not."""
    if name in _IGNORED:
        return True
    bare, exclude = w.negated(value)
    if name in ("age_numerical", "age_expression"):
        return _old(name, w.compared(bare), asking) != exclude
    return _met(keys, name, bare, asking) != exclude


def _met(keys: tuple[Key, ...], name: str, value: Any, asking: _Asking) -> bool:
    if name in _UNREAD:
        return False
    key = next(key for key in keys if key.name == name)
    test = leaf_test(key.read(value, False, asking.terminology), asking.terminology)
    return answer(test, asking.facts, asking.terminology, asking.today).outcome == "met"


def _old(name: str, asked: w.Compared, asking: _Asking) -> bool:
    """By the day of birth: `<=18` ends on the eighteenth birthday itself. age_expression knows whole years only."""
    if len(asking.facts.births) != 1:  # none is known, or joined Patients say different ones
        return False
    low, high = bounds(asking.facts.births[0])
    if high - low != DAY:
        return False
    born = date.fromordinal(_EPOCH + low // DAY)
    years = int(asked.value)
    if name == "age_expression":
        today = asking.today
        have = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
        return _COMPARE[asked.comparator](have, years)
    months = years * 12 + int(((asked.value - years) * 12).to_integral_value(rounding="ROUND_HALF_EVEN"))
    cut = Duration(months, "mo").before(asking.today)
    return _COMPARE[asked.comparator](-born.toordinal(), -cut.toordinal())


_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "==": lambda a, b: a == b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
}


def _genomic(body: Mapping[str, Any], asking: _Asking) -> bool:
    """One row must meet all keys; a `!` at any of them turns the whole into its opposite."""
    bare = {name: w.negated(value)[0] for name, value in body.items() if name not in _IGNORED}
    exclude = any(w.negated(value)[1] for value in body.values())
    results = {key.name for key in RESULTS} & bare.keys()
    if results:
        return all(_result(name, bare[name], asking) for name in results) != exclude
    return any(_row_meets(row, bare) for row in asking.rows) != exclude


def _result(name: str, value: Any, asking: _Asking) -> bool:
    if name not in ("ms_status", "mmr_status"):
        return _met(RESULTS, name, value, asking)
    found = asking.facts.results.get(Concept(LOINC, MSI))
    if found is None or found.source.doubt:
        return False
    codes = {one.code for one in found.answers if one.system == LOINC} & set(w.MICROSATELLITE.values())
    return codes != set() and (w.MICROSATELLITE["MSI-H"] in codes) == _REPAIR[str(value).strip()]


def _row_meets(row: Row, keys: Mapping[str, Any]) -> bool:
    if row.wild and "wildtype" not in keys:
        return False
    return all(ok for name, value in keys.items() for ok in _tests(row, name, value, keys))


def _tests(row: Row, name: str, value: Any, keys: Mapping[str, Any]) -> Iterator[bool]:
    match name:
        case "hugo_symbol":
            yield _any_gene(value) or value in row.genes
        case "fusion_partner_hugo_symbol":
            others = row.genes - {keys.get("hugo_symbol")}
            if str(value).lower() == "intergenic":
                yield not others
            else:
                yield bool(others) if _any_gene(value) else value in others
        case "variant_category":
            wanted = {_CATEGORY[code] for code in w.chosen(value, w.CATEGORIES)}
            yield row.category in wanted
        case "protein_change":
            yield value in row.changes
        case "wildcard_protein_change":
            codon = str(value).removeprefix("p.").upper()
            ways = {f"P.{codon}{acid}" for acid in AMINO_ACIDS}
            yield any(change.upper() in ways for change in row.changes)
        case "exon" | "true_transcript_exon":
            yield isinstance(value, int | Decimal) and value in row.exons
        case "variant_classification" | "true_variant_classification":
            yield value in row.classes
        case "cnv_call":
            yield row.call != "" and row.call == _CALLS.get(value, value)
        case "molecular_function":
            yield row.effect == w.EFFECTS.get(value, "-")
        case "wildtype":
            yield row.wild == w.truth(value)
        case _:
            yield False


def _any_gene(symbol: Any) -> bool:
    return str(symbol).lower().replace(" ", "_") == "any_gene"
