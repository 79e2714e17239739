"""Random trees of criteria agree with a brute force over every way to settle what is unknown. Kleene's logic."""

import itertools
from random import Random

from fhir_server.matching.criteria import Branch, Leaf, Node, combined
from fhir_server.matching.evaluate import Judged, evaluate_tree, quick
from fhir_server.matching.facts import Facts
from fhir_server.matching.finding import Outcome
from fhir_server.matching.kinds import OfSex, Unjudged
from tests.matching.evaluate_test import NOW, TERMS

TREES, LEAVES = 10_000, 5
FACTS = Facts("p", ("Patient/p",), sex="female")
TESTS = {"met": OfSex("Sex female", "female"), "not-met": OfSex("Sex male", "male"), "unknown": Unjudged("", "?")}


def tree(random: Random, values: list[Outcome], depth: int) -> Node:
    """A random tree whose leaves take the values in turn."""
    if depth == 0 or random.random() < 0.3 or not values:
        value: Outcome = random.choice(("met", "not-met", "unknown")) if not values else values.pop()
        return Leaf(f"l{random.random()}", TESTS[value], random.random() < 0.3)
    parts = tuple(tree(random, values, depth - 1) for _ in range(random.randint(1, 4)))
    method = random.choice(("all-of", "any-of", "at-least", "at-most", "except-subset"))
    threshold = random.randint(1, len(parts)) if method in ("at-least", "at-most") else None
    made = combined(method, threshold, f"g{random.random()}", parts, random.random() < 0.3)
    return made or Branch("g", len(parts), parts, False)


def leaves(node: Node) -> list[Leaf]:
    return [node] if isinstance(node, Leaf) else [leaf for part in node.parts for leaf in leaves(part)]


def decided(node: Node, settled: dict[str, bool]) -> bool:
    """Two-valued: the definition of the combination methods, said once more."""
    if isinstance(node, Leaf):
        return settled[node.id] != node.exclude
    return (sum(decided(part, settled) for part in node.parts) >= node.needed) != node.exclude


def expected(node: Node) -> Outcome:
    """Unknown values of different leaves are independent: a leaf stands once in a tree."""
    options = []
    for leaf in leaves(node):
        value = next(key for key, test in TESTS.items() if test is leaf.test)
        options.append([(leaf.id, True), (leaf.id, False)] if value == "unknown" else [(leaf.id, value == "met")])
    answers = {decided(node, dict(way)) for way in itertools.product(*options)}
    return "unknown" if len(answers) == 2 else "met" if answers == {True} else "not-met"


def test_random_trees_equal_brute_force() -> None:
    random, seen = Random(11), {"met": 0, "not-met": 0, "unknown": 0}
    for _ in range(TREES):
        values: list[Outcome] = [random.choice(("met", "not-met", "unknown")) for _ in range(random.randint(1, LEAVES))]
        node = tree(random, values, 3)
        if sum(isinstance(leaf.test, Unjudged) for leaf in leaves(node)) > 6:
            continue
        judged: list[Judged] = []
        found = evaluate_tree(node, FACTS, TERMS, NOW, judged)
        assert found == expected(node), node
        assert quick(node, FACTS, TERMS, NOW) == found
        seen[found] += 1
        told = {one.node.id for one in judged}
        assert all(leaf.id in told for leaf in leaves(node)), "nothing is left out of the explanation"
    assert min(seen.values()) > TREES / 20
