"""Random code systems, and what conditions and filters mean on them, by brute force."""

from typing import Any

from hypothesis import strategies as st

from fhir_server.store.terms import AllOf, Among, AnyOf, Below, Condition, Keyed, No

URL = "urn:random"
COLOURS, WORDS = ("red", "green", "blue"), ("Lung", "Colon", "Über", "cell", "carcinoma")


@st.composite
def concepts(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Concepts of a hierarchy in which a parent may come after its child, some inactive, abstract, coloured."""
    size = draw(st.integers(1, 12))
    codes = draw(st.permutations([f"c{number}" for number in range(size)]))
    found = []
    for number in range(size):
        above = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        given = [{"code": "parent", "valueCode": f"c{one}"} for one in sorted(above)]
        if draw(st.booleans()):
            given.append({"code": "colour", "valueString": draw(st.sampled_from(COLOURS))})
        if draw(st.integers(0, 4)) == 0:
            given.append({"code": "inactive", "valueBoolean": True})
        if draw(st.integers(0, 4)) == 0:
            given.append({"code": "notSelectable", "valueBoolean": True})
        name = " ".join(draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=3)))
        found.append({"code": f"c{number}", "display": name, **({"property": given} if given else {})})
    order = {code: place for place, code in enumerate(codes)}
    return sorted(found, key=lambda concept: order[concept["code"]])


def values(concept: dict[str, Any], code: str) -> list[Any]:
    return [
        next(iter(v for k, v in one.items() if k != "code"))
        for one in concept.get("property", ())
        if one["code"] == code
    ]


def above(listed: list[dict[str, Any]], code: str) -> set[str]:
    """All codes above one, by walking up."""
    by_code = {concept["code"]: concept for concept in listed}
    found: set[str] = set()
    edge = values(by_code[code], "parent") if code in by_code else []
    while edge:
        found.update(edge)
        edge = [parent for one in edge for parent in values(by_code[one], "parent") if parent not in found]
    return found


def meets(listed: list[dict[str, Any]], n: int, keys: tuple[str, ...], where: Condition) -> bool:
    """Whether the concept at place `n`, which has these keys, meets a condition."""
    match where:
        case Below(top):
            return top < len(listed) and listed[top]["code"] in above(listed, listed[n]["code"])
        case Among(ns):
            return n in ns
        case Keyed(key, prefix):
            return any(one.startswith(key) if prefix else one == key for one in keys)
        case No(part):
            return not meets(listed, n, keys, part)
        case AllOf(parts):
            return all(meets(listed, n, keys, part) for part in parts)
        case AnyOf(parts):
            return any(meets(listed, n, keys, part) for part in parts)
    raise AssertionError(where)


def conditions() -> st.SearchStrategy[Condition]:
    keyed = st.builds(
        Keyed,
        st.sampled_from(("pcolour\x01red", "pcolour\x01", "wlung", "wuber", "wc", "!inactive", "pchild\x01")),
        st.booleans(),
    )
    leaf = st.one_of(
        st.builds(Below, st.integers(0, 12)),
        st.builds(Among, st.lists(st.integers(0, 12), max_size=4).map(tuple)),
        keyed,
    )
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.builds(No, inner),
            st.builds(AllOf, st.lists(inner, max_size=3).map(tuple)),
            st.builds(AnyOf, st.lists(inner, max_size=3).map(tuple)),
        ),
        max_leaves=6,
    )


FILTERS = ("is-a", "descendent-of", "is-not-a", "generalizes", "=", "in", "not-in", "exists")


def filters() -> st.SearchStrategy[dict[str, str]]:
    """Filters of a value set on such a code system."""
    codes = st.integers(0, 13).map(lambda number: f"c{number}")
    by_code = st.tuples(st.just("concept"), st.sampled_from(FILTERS[:4]), codes)
    equal = st.tuples(st.just("colour"), st.just("="), st.sampled_from(COLOURS))
    several = st.tuples(st.just("colour"), st.sampled_from(("in", "not-in")), st.just("red, blue"))
    listed = st.tuples(
        st.just("code"), st.sampled_from(("in", "not-in")), st.lists(codes, min_size=1, max_size=4).map(",".join)
    )
    family = st.tuples(st.sampled_from(("parent", "child")), st.just("="), codes)
    there = st.tuples(
        st.sampled_from(("colour", "parent", "child")), st.just("exists"), st.sampled_from(("true", "false"))
    )
    one = st.one_of(by_code, equal, several, listed, family, there)
    return one.map(lambda given: {"property": given[0], "op": given[1], "value": given[2]})


def kept(listed: list[dict[str, Any]], filter: dict[str, str]) -> set[str]:
    """The codes that a filter keeps, as the specification says it."""
    property, operator, value = filter["property"], filter["op"], filter["value"]
    every = {concept["code"] for concept in listed}

    def has(concept: dict[str, Any]) -> set[str]:
        code = concept["code"]
        if property in ("concept", "code"):
            return {code}
        if property == "child":
            return {one["code"] for one in listed if code in values(one, "parent")}
        return set(values(concept, property))

    below = {code for code in every if value in above(listed, code)}
    match operator:
        case "is-a":
            return (below | {value}) & every
        case "descendent-of":
            return below
        case "is-not-a":
            return every - below - {value}
        case "generalizes":
            return (above(listed, value) | {value}) & every
        case "=":
            return {one["code"] for one in listed if value in has(one)}
        case "in" | "not-in":
            wanted = {part.strip() for part in value.split(",")}
            return {one["code"] for one in listed if bool(has(one) & wanted) == (operator == "in")}
    return {one["code"] for one in listed if bool(has(one)) == (value == "true")}
