"""What is likely wrong with criteria that can be judged: they hardly say what was meant. See docs/matching.md

Nothing is refused for it. Two criteria conflict if nobody can meet both; what an arm asks for is taken apart into the
sets of criteria that are met together, as many as are worth looking at.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations, product
from math import prod
from typing import NamedTuple

from fhir_server.matching.conflicts import Literal, conflict, two_tumours
from fhir_server.matching.criteria import Branch, Leaf, Node, Study, leaves
from fhir_server.matching.genes import HGNC, genes_of
from fhir_server.matching.kinds import HadTherapy, HasDiagnosis, HasVariant, Test
from fhir_server.matching.values import KIND, OWN
from fhir_server.terminology.codes import ICD_10, Concept, Terminology

MOST = 2000  # ways to meet an arm that are looked at
LITERALS = 200  # criteria of an arm that are compared with one another
ONCOTREE, SNOMED = "http://oncotree.mskcc.org", "http://snomed.info/sct"
_OWN = frozenset(f"{OWN}/CodeSystem/{name}" for name in ("diagnosis-group", "drug-class", "variant-group")) | {KIND}


class Advice(NamedTuple):
    """What to look at: the ids of the criteria, and why."""

    criteria: tuple[str, ...]
    text: str


def lint(study: Study, terminology: Terminology) -> list[Advice]:
    """What a curator should look at, arm by arm."""
    found: list[Advice] = []
    for way in study.alternatives:
        found += _negations(way.root)
        for leaf in leaves(way.root):
            found += (Advice((leaf.id,), text) for text in _strangers(leaf.test, terminology))
        found += _conflicts(way.root, f"The arm {way.arm}" if way.arm else "The Group", terminology)
    return list(dict.fromkeys(found))


def _negations(node: Node) -> Iterator[Advice]:
    """An or of negations is met by everyone who has not all that is excluded."""
    if isinstance(node, Leaf):
        return
    excluded = [part for part in node.parts if part.exclude and part.id]
    if not node.exclude and node.needed < len(node.parts) and len(excluded) > 1:
        names = " or ".join(part.id for part in excluded)
        text = f"Any of several exclusions ({names}) is met by nearly everyone: whoever lacks one of them. All of them?"
        yield Advice(tuple(part.id for part in excluded), text)
    for part in node.parts:
        yield from _negations(part)


def _strangers(test: Test, terminology: Terminology) -> Iterator[str]:
    """Names that nothing loaded knows."""
    match test:
        case HasDiagnosis():
            for one in test.concepts:
                if one.system in (ONCOTREE, *_OWN) and not terminology.known(*one):
                    yield f"{one.code} is no code of {one.system} that is loaded: it is compared with itself only."
            if not any(_placed(one, terminology) for one in test.concepts):
                names = ", ".join(one.code for one in test.concepts)
                yield f"The diagnosis {names} is in no hierarchy that is loaded: it is compared with itself only."
        case HasVariant():
            known = genes_of(terminology).symbols
            for gene in sorted(test.genes - known.keys()):
                yield f"{gene} is no gene of {HGNC} that is loaded: reports must name it just so."
            for one in sorted(test.concepts):
                if one.system in _OWN and not terminology.known(*one):
                    yield f"{one.code} is no code of {one.system}."
        case HadTherapy():
            for one in test.concepts:
                if one.system in _OWN and not terminology.known(*one):
                    yield f"{one.code} is no code of {one.system}."


def _placed(concept: Concept, terminology: Terminology) -> bool:
    return concept.system in ICD_10 or len(terminology.closure(concept)) > 1 or terminology.known(*concept)


def _conflicts(root: Branch, arm: str, terminology: Terminology) -> Iterator[Advice]:
    """Whether nobody can meet the arm; criteria that nobody meets who meets the others; two tumours at once."""
    literals = [Literal(leaf.id, leaf.test, True, leaf.max_age) for leaf in leaves(root)]
    numbers = {id(leaf): number for number, leaf in enumerate(leaves(root), 1)}
    clashes = dict(_clashes(literals, terminology))
    always = tuple(_always(root, numbers))
    if clashes:
        ways = _ways(root, numbers) or [always]
        impossible = [next((pair for pair in clashes if held.issuperset(pair)), None) for held in map(frozenset, ways)]
        named = {pair: tuple(literals[abs(one) - 1].id for one in pair) for pair in clashes}
        if all(impossible):
            pair = impossible[0]
            assert pair is not None
            one, other = named[pair]
            text = f"{arm} can be met by nobody: {one} and {other} exclude each other ({clashes[pair]})."
            yield Advice((one, other), text)
        possible = {one for way, clash in zip(ways, impossible, strict=True) if not clash for one in way}
        for pair in dict.fromkeys(filter(None, impossible)) if not all(impossible) else ():
            dead = tuple(literals[abs(one) - 1].id for one in pair if one not in possible)
            if dead:
                text = f"{' and '.join(dead)} can never be met: {' and '.join(named[pair])} exclude each other"
                yield Advice(dead, f"{text} ({clashes[pair]}).")
    for a, b in combinations([literals[one - 1] for one in always if one > 0], 2):
        if two_tumours(a, b, terminology):
            yield Advice((a.id, b.id), f"{a.id} and {b.id} ask for two different tumours at once.")


Signed = int  # the number of a criterion, negative for its opposite
Way = tuple[Signed, ...]


def _clashes(literals: list[Literal], terminology: Terminology) -> Iterator[tuple[tuple[Signed, Signed], str]]:
    """The pairs that nobody can be both of, in the order of their numbers, and why."""
    signed = [(number * sign, literal._replace(positive=sign > 0))
              for number, literal in enumerate(literals[:LITERALS], 1) for sign in (1, -1)]  # fmt: skip
    for (m, a), (n, b) in combinations(sorted(signed), 2):
        why = conflict(a, b, terminology) or conflict(b, a, terminology)
        if why and m != -n:
            yield (m, n), why


def _always(node: Node, numbers: Mapping[int, int], positive: bool = True) -> Iterator[Signed]:
    """The criteria that must be met in any case."""
    positive = positive != node.exclude
    if isinstance(node, Leaf):
        yield numbers[id(node)] if positive else -numbers[id(node)]
    elif (node.needed if positive else len(node.parts) - node.needed + 1) == len(node.parts):
        for part in node.parts:
            yield from _always(part, numbers, positive)


def _ways(node: Node, numbers: Mapping[int, int], positive: bool = True) -> list[Way]:
    """The sets of criteria by which a node is met; [] if there are too many."""
    positive = positive != node.exclude
    if isinstance(node, Leaf):
        return [(numbers[id(node)] if positive else -numbers[id(node)],)]
    needed = node.needed if positive else len(node.parts) - node.needed + 1
    parts = [_ways(part, numbers, positive) for part in node.parts]
    if needed > len(parts) or not all(parts):
        return []
    found: list[Way] = []
    for chosen in combinations(parts, max(needed, 0)):
        if len(found) + prod(map(len, chosen)) > MOST:
            return []
        found += (tuple(one for way in ways for one in way) for ways in product(*chosen))
    return found
