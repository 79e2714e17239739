"""Concepts and what lies above them, from CodeSystem and ConceptMap files. https://hl7.org/fhir/R4/codesystem.html#hierarchy"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from fhir_server.fhir.codec import decode
from fhir_server.fhir.data import data_path

ICD_10 = frozenset({"http://hl7.org/fhir/sid/icd-10", "http://hl7.org/fhir/sid/icd-10-cm"})
_UNSPECIFIED = re.compile(r"[A-Z]\d[\dA-Z]\.9")
MOST_RELATIONS = 65_536  # that are kept with a terminology
Relation = Literal["is", "broader", "other"]


class Concept(NamedTuple):
    """A code of a code system."""

    system: str
    code: str


@dataclass(frozen=True, slots=True, eq=False)
class Terminology:
    """What is known of the loaded code systems; a code that is not known is only ever itself.

    `above` holds, for every known concept, itself, what is equivalent to it and everything above these, across code
    systems. In a system of `hierarchies`, a loaded code that is neither above nor below another is a different thing.
    """

    above: Mapping[Concept, frozenset[Concept]] = field(default_factory=dict)
    same: Mapping[Concept, frozenset[Concept]] = field(default_factory=dict)
    hierarchies: frozenset[str] = frozenset()
    loaded: Mapping[str, frozenset[str]] = field(default_factory=dict)
    displays: Mapping[Concept, str] = field(default_factory=dict)
    properties: Mapping[Concept, Mapping[str, tuple[Any, ...]]] = field(default_factory=dict)
    names: Mapping[Concept, tuple[str, ...]] = field(default_factory=dict)  # designations: what else it is called
    relations: "dict[tuple[Concept, Concept], Relation | None]" = field(
        default_factory=dict, repr=False
    )  # asked before

    def known(self, system: str, code: str) -> bool:
        """Whether the code is one of a loaded CodeSystem."""
        return code in self.loaded.get(system, ())

    def closure(self, concept: Concept) -> frozenset[Concept]:
        """The concept, its equivalents and everything above them, in every system."""
        found = self.above.get(concept)
        if concept.system in ICD_10 and len(concept.code) > 3:
            # An ICD-10 code is a kind of the category that its first characters name: C34.90 of C34.9 of C34. What is
            # known of the code itself is not overruled by what is known of the category.
            above = self.closure(Concept(concept.system, concept.code[:-1].rstrip(".")))
            found = above | {concept} if found is None else found | {c for c in above if c.system == concept.system}
        return found or frozenset((concept,))

    def ancestors(self, system: str, code: str) -> frozenset[str]:
        """The codes of the same system above this one, without itself."""
        return frozenset(c.code for c in self.closure(Concept(system, code)) if c.system == system) - {code}

    def descendants(self, system: str, code: str) -> frozenset[str]:
        """The loaded codes of the same system below this one, without itself."""
        top = Concept(system, code)
        return frozenset(c.code for c, above in self.above.items() if c.system == system and top in above) - {code}

    def subsumes(self, system: str, ancestor: str, code: str) -> bool | None:
        """Whether `code` is `ancestor` or lies below it; None when that cannot be known."""
        if ancestor == code or Concept(system, ancestor) in self.closure(Concept(system, code)):
            return True
        return False if self.known(system, ancestor) and self.known(system, code) else None

    def equivalents(self, system: str, code: str) -> frozenset[Concept]:
        """The concepts that mean the same, itself included."""
        concept = Concept(system, code)
        return self.same.get(concept) or frozenset((concept,))

    def property(self, concept: Concept, name: str) -> tuple[Any, ...]:
        """The values of a concept property, () if it has none."""
        return self.properties.get(concept, {}).get(name, ())

    def display(self, concept: Concept) -> str:
        """The name of a concept, its code if no name is loaded."""
        return self.displays.get(concept, concept.code)


def relation(terminology: Terminology, concept: Concept, required: Concept) -> Relation | None:
    """How a recorded concept stands to a required one: `is` (the same or below), `broader` (it may be: recorded less
    exactly than required), `other` (it is not), or None when nothing loaded relates them."""
    known, key = terminology.relations, (concept, required)  # with the terminology, so that they end with it
    try:
        return known[key]
    except KeyError:
        pass
    found = _related(terminology, concept, required)
    if len(known) >= MOST_RELATIONS:
        known.clear()
    known[key] = found
    return found


def _related(terminology: Terminology, concept: Concept, required: Concept) -> Relation | None:
    have, want = terminology.closure(concept), terminology.closure(required)
    if required in have or any(c in have for c in terminology.equivalents(*required)):
        return "is"
    shared = {c.system for c in have} & {c.system for c in want} & terminology.hierarchies
    # Codes of ICD-10 that others are equivalent to do not speak for these: its classes are cut otherwise.
    shared -= ICD_10 - ({concept.system} & {required.system})
    answer: Relation | None = None
    for system in shared:
        lowest, asked = _lowest(terminology, have, system, True), _lowest(terminology, want, system)
        if not lowest or not asked:
            continue
        if lowest.isdisjoint(want) and asked.isdisjoint(have):
            return "other"
        answer = "broader"
    return answer


def _lowest(
    terminology: Terminology, closure: frozenset[Concept], system: str, recorded: bool = False
) -> frozenset[Concept]:
    """The concepts of a closure in one system that have no other of it below them: what it is there, most exactly. An
    unspecified code of ICD-10 that was `recorded` says no more than its category."""
    mine = [c for c in closure if c.system == system and (system in ICD_10 or terminology.known(*c))]
    if recorded and system in ICD_10:
        mine = [c for c in mine if not _UNSPECIFIED.match(c.code)] or mine
    above = {a for c in mine for a in terminology.closure(c) if a != c}
    return frozenset(c for c in mine if c not in above)


def load(paths: Iterable[Path] | None = None) -> Terminology:
    """Read CodeSystem and ConceptMap JSON files; without paths, those that ship in `terminology/`.

    Raises ValueError for a file that is neither, or for a concept that lies above itself.
    """
    return build(shipped() if paths is None else (decode(path.read_bytes()) for path in paths))


def shipped() -> Iterable[Mapping[str, Any]]:
    """The resources that ship in `terminology/`."""
    return (decode(path.read_bytes()) for path in sorted(data_path("terminology").glob("*.json")))


def build(resources: Iterable[Mapping[str, Any]]) -> Terminology:
    """The Terminology of CodeSystems (nested, or `parent` properties) and ConceptMaps (equal, equivalent, wider)."""
    parents: dict[Concept, set[Concept]] = {}
    peers: dict[Concept, set[Concept]] = {}
    loaded: dict[str, set[str]] = {}
    displays: dict[Concept, str] = {}
    properties: dict[Concept, dict[str, tuple[Any, ...]]] = {}
    names: dict[Concept, tuple[str, ...]] = {}
    hierarchies = set(ICD_10)
    for resource in resources:
        match resource.get("resourceType"):
            case "CodeSystem":
                system = resource["url"]
                if resource.get("hierarchyMeaning") == "is-a":
                    hierarchies.add(system)
                for concept, above, body in _concepts(system, resource.get("concept", ()), None):
                    loaded.setdefault(system, set()).add(concept.code)
                    displays[concept] = body.get("display", concept.code)
                    properties[concept] = _joined(properties.get(concept, {}), _properties(body))
                    if "designation" in body:
                        names[concept] = tuple(one["value"] for one in body["designation"] if "value" in one)
                    if above or system in hierarchies:
                        parents.setdefault(concept, set()).update(above)
            case "ConceptMap":
                for source, name in _named(resource):
                    displays.setdefault(source, name)
                for source, target, equivalence in _mappings(resource):
                    if equivalence in ("equal", "equivalent"):
                        peers.setdefault(source, set()).add(target)
                        peers.setdefault(target, set()).add(source)
                    elif equivalence == "wider":
                        parents.setdefault(source, set()).add(target)
            case other:
                raise ValueError(f"A terminology file must be a CodeSystem or a ConceptMap, not {other}.")
    same = _peers(peers)
    return Terminology(
        above=_closures(parents, same),
        same=same,
        hierarchies=frozenset(hierarchies),
        loaded={system: frozenset(codes) for system, codes in loaded.items()},
        displays=displays,
        properties=properties,
        names=names,
    )


def _concepts(
    system: str, concepts: Iterable[Mapping[str, Any]], parent: Concept | None
) -> Iterable[tuple[Concept, set[Concept], Mapping[str, Any]]]:
    for body in concepts:
        concept = Concept(system, body["code"])
        above = {Concept(system, p["valueCode"]) for p in body.get("property", ()) if p["code"] == "parent"}
        yield concept, above | ({parent} if parent else set()), body
        yield from _concepts(system, body.get("concept", ()), concept)


def _properties(body: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    for item in body.get("property", ()):
        value = next(value for key, value in item.items() if key.startswith("value"))
        found[item["code"]] = (*found.get(item["code"], ()), value)
    return found


def _joined(one: dict[str, tuple[Any, ...]], other: Mapping[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """What two files say of a concept."""
    if not one:
        return dict(other)
    return {key: tuple(dict.fromkeys((*one.get(key, ()), *other.get(key, ())))) for key in (*one, *other)}


def _mappings(resource: Mapping[str, Any]) -> Iterable[tuple[Concept, Concept, str]]:
    for group in resource.get("group", ()):
        for element in group["element"]:
            for target in element.get("target", ()):
                source = Concept(group["source"], element["code"])
                yield source, Concept(group["target"], target["code"]), target["equivalence"]


def _named(resource: Mapping[str, Any]) -> Iterable[tuple[Concept, str]]:
    """What a ConceptMap calls the codes of systems of which no more is loaded."""
    for group in resource.get("group", ()):
        for element in group["element"]:
            if "display" in element:
                yield Concept(group["source"], element["code"]), element["display"]


def _peers(peers: Mapping[Concept, set[Concept]]) -> dict[Concept, frozenset[Concept]]:
    """Every concept with all that is equivalent to it, directly or through others."""
    same: dict[Concept, frozenset[Concept]] = {}
    for start in peers:
        if start in same:
            continue
        found, open_ = {start}, [start]
        while open_:
            new = peers[open_.pop()] - found
            found |= new
            open_ += new
        same.update(dict.fromkeys(found, frozenset(found)))
    return same


def _closures(
    parents: Mapping[Concept, set[Concept]], same: Mapping[Concept, frozenset[Concept]]
) -> dict[Concept, frozenset[Concept]]:
    """Everything at or above each concept. Raises ValueError for a cycle."""
    done: dict[Concept, frozenset[Concept]] = {}
    trail: set[Concept] = set()

    def close(concept: Concept) -> frozenset[Concept]:
        if concept in done:
            return done[concept]
        if concept in trail:
            raise ValueError(f"{concept.code} of {concept.system} lies above itself.")
        group = same.get(concept) or frozenset((concept,))
        trail.update(group)
        above = set(group)
        for member in group:
            for parent in parents.get(member, ()):
                above |= close(parent)
        trail.difference_update(group)
        done.update(dict.fromkeys(group, frozenset(above)))
        return done[concept]

    for concept in (*parents, *same):
        close(concept)
    return done
