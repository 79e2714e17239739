"""Eligibility criteria: ResearchStudy and its Groups as a tree of tests. https://hl7.org/fhir/R4/group.html"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from fhir_server.fhir.codec import Resource
from fhir_server.matching.expression import expression_test, expressions
from fhir_server.matching.kinds import (
    Duration,
    HadTherapy,
    HasResult,
    HasVariant,
    Holds,
    OfAge,
    OfStage,
    Test,
    Unjudged,
)
from fhir_server.matching.leaves import DESCRIBED, WASHOUT, duration_of, leaf_test
from fhir_server.matching.values import OWN, concepts, named
from fhir_server.terminology.codes import Concept, Terminology

METHOD = f"{OWN}/StructureDefinition/group-combination-method"
THRESHOLD = f"{OWN}/StructureDefinition/group-combination-threshold"
ARM_STATUS = f"{OWN}/StructureDefinition/arm-status"
IN_GROUP = Concept(f"{OWN}/CodeSystem/criterion-kind", "in-group")
MAX_AGE = f"{OWN}/StructureDefinition/criterion-max-age"
DEPTH = 10


@dataclass(frozen=True, slots=True)
class Leaf:
    """One criterion: a test, or its opposite; `max_age` is how old its evidence may be."""

    id: str
    test: Test
    exclude: bool
    max_age: Duration | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """Several criteria of which at least `needed` must hold, or the opposite of that: every way to combine is one of
    these. `text` says it as the Group did; a Branch without an id is only a step of the reckoning and not shown."""

    id: str
    needed: int
    parts: tuple["Node", ...]
    exclude: bool
    text: str = ""


Node = Leaf | Branch
AGED = (HasResult, HasVariant, OfStage)  # whose evidence may be limited in age


class Alternative(NamedTuple):
    """One way into a study: the criteria of a Group, for the arm it is linked to ("" for the whole study)."""

    groups: tuple[str, ...]  # Group/id/_history/version: the Group of the arm, then others that it uses
    arm: str
    root: Branch


class Problem(NamedTuple):
    """Something in a study that a curator must mend: where, and what. `path` is the element of a coded criterion that
    can never be judged as it is; "" if it may be right one day, or is in words only."""

    where: str
    text: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Study:
    """A study ready to be matched. `refused` says that its criteria may mean something else than what was read."""

    id: str
    version: int
    title: str
    active: bool
    alternatives: tuple[Alternative, ...]
    problems: tuple[Problem, ...]
    refused: bool
    asks: frozenset[Concept]  # the codes of Observations that it asks about by code
    timed: tuple[Leaf, ...]  # what time alone may change, each one object for all studies

    @property
    def open(self) -> bool:
        """Whether the study can have candidates at all."""
        return self.active and not self.refused and bool(self.alternatives)


Resolve = Callable[[str], tuple[Resource, int] | None]  # a Group by its reference, with its version


def group_references(resource: Resource) -> Iterator[str]:
    """The references to other Groups in a ResearchStudy, or in a Group and those it contains."""
    for reference in resource.get("enrollment", ()):
        yield reference.get("reference", "")
    for group in (resource, *resource.get("contained", ())):
        for characteristic in group.get("characteristic", ()):
            target = characteristic.get("valueReference", {}).get("reference", "")
            if target and not target.startswith("#"):
                yield target


def compile_study(study: Resource, version: int, resolve: Resolve, terminology: Terminology) -> Study:
    """Read a study's criteria; what cannot be understood becomes an unknown criterion and a problem."""
    reading = _Reading(resolve, terminology, [], [])
    alternatives: list[Alternative] = []
    arms = {arm.get("name", ""): arm for arm in study.get("arm", ())}
    if "modifierExtension" in study:
        reading.refuse("ResearchStudy", "an unknown modifierExtension may change what the study means")
    for target in dict.fromkeys(one.get("reference", "") for one in study.get("enrollment", ())):
        found = resolve(target)
        if found is None:
            reading.problem(target or "enrollment", "the Group cannot be found: the arm gets no candidates")
            continue
        group, number = found
        arm = next((name for name in _names(group) if name in arms), "")
        if group.get("active") is False or (arm and _arm_status(arms[arm]) != "active"):
            continue
        if _empty(group):
            reading.problem(target, "the Group has no characteristic: the arm gets no candidates")
            continue
        reading.used[:] = [f"Group/{group['id']}/_history/{number}"]
        root = reading.branch(group, group, "", (target,), "Group", exclude=False)
        if all(isinstance(leaf.test, Unjudged) for leaf in leaves(root)):
            reading.problem(target, "no criterion of the Group can be judged: the arm gets no candidates")
            continue
        alternatives.append(Alternative(tuple(dict.fromkeys(reading.used)), arm, root))
    if not study.get("enrollment"):
        reading.problem("enrollment", "the study names no Group of criteria")
    return Study(
        id=study["id"],
        version=version,
        title=str(study.get("title") or study["id"]),
        active=study.get("status") == "active",
        alternatives=tuple(alternatives),
        problems=tuple(problem for problem, _ in reading.problems),
        refused=any(refused for _, refused in reading.problems),
        asks=frozenset(code for way in alternatives for leaf in leaves(way.root) for code in _codes(leaf.test)),
        timed=tuple(_bare(leaf) for way in alternatives for leaf in leaves(way.root) if _timed(leaf)),
    )


def _timed(leaf: Leaf) -> bool:
    washout = isinstance(leaf.test, HadTherapy) and leaf.test.washout is not None
    daily = isinstance(leaf.test, Holds) and leaf.test.daily
    return washout or daily or isinstance(leaf.test, OfAge) or leaf.max_age is not None


def _bare(leaf: Leaf) -> Leaf:
    return _same_leaf(Leaf("", leaf.test, False, leaf.max_age))


@lru_cache(maxsize=8192)
def _same_leaf(leaf: Leaf) -> Leaf:
    return leaf


def _empty(group: Resource) -> bool:
    return not (group.get("characteristic") or expressions(group))


def _codes(test: Test) -> tuple[Concept, ...]:
    return test.codes if isinstance(test, HasResult) else ()


def _names(group: Resource) -> Iterator[str]:
    yield group.get("name", "")
    code = group.get("code", {})
    yield code.get("text", "")
    for coding in code.get("coding", ()):
        yield coding.get("code", "")
        yield coding.get("display", "")


def _arm_status(arm: Mapping[str, list[Resource]]) -> str:
    found = (e.get("valueCode", "") for e in arm.get("extension", ()) if e.get("url") == ARM_STATUS)
    return next(found, "active")


class _Reading(NamedTuple):
    """What is needed while the Groups of one study are read; problems come with whether they refuse the study."""

    resolve: Resolve
    terminology: Terminology
    problems: list[tuple[Problem, bool]]
    used: list[str]  # the versions of the Groups read for an arm

    def problem(self, where: str, text: str, path: str = "") -> None:
        self.problems.append((Problem(where, text, path), False))

    def refuse(self, where: str, text: str, path: str = "") -> None:
        self.problems.append((Problem(where, text, path), True))

    def branch(
        self, group: Resource, holder: Resource, id: str, trail: tuple[str, ...], path: str, exclude: bool
    ) -> Branch:
        """The criteria of a Group; `holder` is the resource whose contained Groups `#id` names, `trail` how we came,
        `path` where the Group stands in the holder."""
        where = trail[-1]
        characteristics = group.get("characteristic", ())
        if group.get("type") != "person":
            self.refuse(where, f"the Group is of type {group.get('type')}, not person", f"{path}.type")
        parts = tuple(
            self._node(
                characteristic,
                holder,
                f"{id}.{number}" if id else str(number),
                trail,
                f"{path}.characteristic[{number - 1}]",
            )
            for number, characteristic in enumerate(characteristics, 1)
        )
        parts += tuple(self._expressions(group, id, where, path))
        modifiers = {named(extension.get("url", "")): extension for extension in group.get("modifierExtension", ())}
        method = modifiers.pop(METHOD, {}).get("valueCode", "all-of")
        threshold = modifiers.pop(THRESHOLD, {})
        for url in modifiers:
            text = f"the modifierExtension {url} is not known and may change what the Group means"
            self.refuse(where, text, f"{path}.modifierExtension")
        number = threshold.get("valuePositiveInt", threshold.get("valueInteger", threshold.get("valueUnsignedInt")))
        made = combined(method, number, id, parts, exclude)
        if made is None:
            asked = f"the combination method {method} with threshold {number} is not known, or not for {len(parts)}"
            self.refuse(where, asked, f"{path}.modifierExtension")
        return made or Branch(id, len(parts), parts, exclude)

    def _expressions(self, group: Resource, id: str, where: str, path: str) -> Iterator[Leaf]:
        """The expression that a Group has instead of characteristics."""
        found = expressions(group)
        if found and (group.get("characteristic") or len(found) > 1):
            text = "a characteristicExpression stands alone: put it into a Group of its own"
            self.refuse(where, text, f"{path}.extension[{found[0][0]}]")
        for number, extension in found:
            test = _same(expression_test(extension))
            if isinstance(test, Unjudged):
                self.problem(where, test.reason, f"{path}.extension[{number}]")
            yield Leaf(extension.get("id") or (f"{id}.1" if id else "1"), test, False)

    def _node(self, characteristic: Resource, holder: Resource, place: str, trail: tuple[str, ...], path: str) -> Node:
        id = characteristic.get("id", place)
        where = f"{trail[-1]} {id}"
        exclude = characteristic.get("exclude") is True
        modifiers = {named(e.get("url", "")): e for e in characteristic.get("modifierExtension", ())}
        if modifiers.keys() - {MAX_AGE, WASHOUT, DESCRIBED}:
            text = "a modifierExtension of the characteristic is not known and may change what it means"
            self.refuse(where, text, f"{path}.modifierExtension")
        if "period" in characteristic:
            text = "a criterion limited to a period cannot be judged yet"
            return self._unjudged(id, where, text, exclude, f"{path}.period")
        if IN_GROUP in concepts(characteristic.get("code")):
            return self._group(characteristic, holder, id, where, trail, path, exclude)
        test = _same(leaf_test(characteristic, self.terminology))
        age = duration_of(modifiers[MAX_AGE].get("valueDuration", {})) if MAX_AGE in modifiers else None
        if isinstance(test, Unjudged):
            self.problem(where, test.reason, path if concepts(characteristic.get("code")) else "")
        elif MAX_AGE in modifiers and (age is None or not isinstance(test, AGED)):
            text = "an age of the evidence is a valueDuration in d, wk, mo or a, of a result, variant or stage"
            self.refuse(where, text, f"{path}.modifierExtension")
        elif WASHOUT in modifiers and not isinstance(test, HadTherapy):
            self.refuse(where, "only a prior therapy can have a washout", f"{path}.modifierExtension")
        elif DESCRIBED in modifiers and not isinstance(test, HasVariant):
            self.refuse(where, "only a variant can be described by a criterion-variant", f"{path}.modifierExtension")
        return Leaf(id, test, exclude, age)

    def _group(
        self,
        characteristic: Resource,
        holder: Resource,
        id: str,
        where: str,
        trail: tuple[str, ...],
        path: str,
        exclude: bool,
    ) -> Node:
        target = characteristic.get("valueReference", {}).get("reference", "")
        if target.startswith("#"):
            name = f"{holder['resourceType']}/{holder.get('id')}{target}"
            inner = ((g, n) for n, g in enumerate(holder.get("contained", ())) if g.get("id") == target[1:])
            held, number = next(inner, (None, 0))
            found, inside_path = (held, holder), f"Group.contained[{number}]"
        else:
            name = target
            other = self.resolve(target)
            found, inside_path = (other[0], other[0]) if other else (None, holder), "Group"
            self.used.extend([f"Group/{other[0]['id']}/_history/{other[1]}"] if other else ())
        group, inside = found
        if group is None or group.get("resourceType") != "Group" or _empty(group):
            reason = f"the Group {target or '(none)'} cannot be found or is empty"
            later = group is None and not target.startswith("#") and target != ""
            return self._unjudged(id, where, reason, exclude, "" if later else f"{path}.value")
        if name in trail or len(trail) > DEPTH:
            reason = f"the Group {target} refers back to itself or lies too deep"
            return self._unjudged(id, where, reason, exclude, f"{path}.value")
        return self.branch(group, inside, id, (*trail, name), inside_path, exclude)

    def _unjudged(self, id: str, where: str, reason: str, exclude: bool, path: str) -> Leaf:
        self.problem(where, reason, path)
        return Leaf(id, Unjudged("", reason), exclude)


@lru_cache(maxsize=65_536)
def _same(test: Test) -> Test:
    """One object for all tests that are equal: what one came to for a patient is then known of all (evaluate.py)."""
    return test


def combined(method: str, threshold: int | None, id: str, parts: tuple[Node, ...], exclude: bool) -> Branch | None:
    """The Branch of a combination method of https://hl7.org/fhir/group-characteristic-combination; None for one that is
    not known or makes no sense."""
    count = len(parts)
    excluded = "Excluded: " if exclude else ""
    match method, threshold:
        case "all-of", None:
            return Branch(id, count, parts, exclude, f"{excluded}all of {count}")
        case "any-of", None:
            return Branch(id, 1, parts, exclude, f"{excluded}any of {count}")
        case "at-least", int(n) if 1 <= n <= count:
            return Branch(id, n, parts, exclude, f"{excluded}at least {n} of {count}")
        case "at-most", int(n) if n >= 0:  # not at least one more
            return Branch(id, n + 1, parts, not exclude, f"{excluded}at most {n} of {count}")
        case "except-subset", None if count > 1:
            others = Branch("", 1, parts[1:], True)
            return Branch(id, 2, (parts[0], others), exclude, f"{excluded}the first and none of the other {count - 1}")
    return None


def asked(studies: Iterable[Study]) -> frozenset[Concept]:
    """The codes of Observations that studies ask about by code."""
    return frozenset().union(*(study.asks for study in studies))


def leaves(node: Node) -> Iterator[Leaf]:
    """The single criteria of a tree, in protocol order."""
    if isinstance(node, Leaf):
        yield node
    else:
        for part in node.parts:
            yield from leaves(part)
