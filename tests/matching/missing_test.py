"""The smallest sets of missing data that could make a match, compared with all sets that could. matching/missing.py"""

from itertools import chain, combinations, product
from random import Random

from fhir_server.matching.criteria import Alternative, Branch, Leaf, Node, Study, combined
from fhir_server.matching.evaluate import evaluate_study
from fhir_server.matching.facts import Facts
from fhir_server.matching.finding import Outcome, at_least, negate
from fhir_server.matching.kinds import OfSex, Unjudged
from fhir_server.matching.missing import ways
from tests.deep import deep
from tests.matching import world as w
from tests.matching.evaluate_test import NOW, TERMS, facts, read

FACTS = Facts("p", ("Patient/p",), sex="female")
TRUE, FALSE = OfSex("female", "female"), OfSex("male", "male")
TESTS = (TRUE, FALSE, *(Unjudged(name, name) for name in "wxyz"))


def study(root: Branch) -> Study:
    way = Alternative(("Group/g/_history/1",), "", root)
    return Study("s", 1, "s", True, (way,), (), False, frozenset(), ())


def tree(random: Random, depth: int, count: list[int]) -> Node:
    """A random tree over few tests of which some are unknown: each unknown is about one of four things."""
    count[0] += 1
    id = f"c{count[0]}"
    if depth == 0 or random.random() < 0.4:
        return Leaf(id, random.choice(TESTS), random.random() < 0.4)
    parts = tuple(tree(random, depth - 1, count) for _ in range(random.randint(1, 3)))
    method, number = random.choice(
        [("all-of", None), ("any-of", None), ("at-least", random.randint(1, len(parts))), ("at-most", 1)]
    )
    return combined(method, number, id, parts, random.random() < 0.3) or Branch(id, len(parts), parts, False)


def outcome(node: Node, known: dict[str, bool]) -> Outcome:
    """The outcome when some of the unknown tests are known."""
    if isinstance(node, Leaf):
        test = node.test
        found: Outcome = "unknown"
        if isinstance(test, OfSex):
            found = "met" if test == TRUE else "not-met"
        elif test.text in known:
            found = "met" if known[test.text] else "not-met"
    else:
        found = at_least(node.needed, [outcome(part, known) for part in node.parts])
    return negate(found) if node.exclude else found


def test_the_smallest_sets_are_those_that_could_settle_it() -> None:
    random, seen = Random(11), 0
    for _ in range(deep(1_500, 20_000)):
        root = combined("all-of", None, "", tuple(tree(random, 2, [0]) for _ in range(2)), False)
        assert root is not None
        reached, results = evaluate_study(study(root), FACTS, TERMS, NOW)
        assert reached == outcome(root, {})
        found = {frozenset(about[1] for about, _ in way.data) for way in ways(results)}  # type: ignore[misc]
        all_sets = chain.from_iterable(combinations("wxyz", size) for size in range(5))
        settling = [set(some) for some in all_sets if settles(root, some)] if reached == "unknown" else []
        least = min(map(len, settling), default=0)
        assert found == {frozenset(one) for one in settling if len(one) == least}, root
        seen += reached == "unknown"
    assert seen > 300


def settles(root: Node, some: tuple[str, ...]) -> bool:
    """Whether some answers to these make it a match."""
    return any(
        outcome(root, dict(zip(some, answers, strict=True))) == "met"
        for answers in product((True, False), repeat=len(some))
    )


def test_one_of_two_tests_is_enough_and_a_gene_is_named() -> None:
    record = [one for one in w.fitting_record() if one["id"] not in ("p-tmb", "p-var", "p-region")]
    _, results = evaluate_study(read(*w.worked_example()), facts(*record), TERMS, NOW)
    first, second, *more = ways(results)
    assert not more
    assert [one.node.id for one in first.criteria] == ["c3a", "c4", "c6a"]
    assert [one.node.id for one in second.criteria] == ["c3a", "c4", "c6b"]
    variant, tmb = first.requirements
    assert [one["path"] for one in variant["codeFilter"]] == ["code", "component.value"]
    assert variant["codeFilter"][1]["code"] == [{"system": w.HGNC, "code": "HGNC:3236"}]
    assert tmb["codeFilter"][0]["code"] == [{"system": w.LOINC, "code": "94076-7"}]
