"""How alike two Patient resources are, in points, with the reasons. https://hl7.org/fhir/R4/patient.html#match

The points are judgement, not statistics: no training data is at hand. They are set so that an identifier with a name or
birth date, or name, birth date, sex and a way to reach the person, make a certain match; that name and birth date alone
stay probable (twins, common names); and that a contradiction takes certainty away.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from fhir_server.fhir.codec import Resource
from fhir_server.search.entries import fold

CERTAIN, PROBABLE, POSSIBLE = 0.95, 0.7, 0.4  # the least score of each grade


class Likeness(NamedTuple):
    """A score from 0 to 1, and what it is made of."""

    score: float
    reasons: tuple[str, ...]

    @property
    def grade(self) -> str:
        """A code of http://terminology.hl7.org/CodeSystem/match-grade."""
        if self.score >= CERTAIN:
            return "certain"
        return "probable" if self.score >= PROBABLE else "possible" if self.score >= POSSIBLE else "certainly-not"


def likeness(one: Resource, other: Resource) -> Likeness:
    """Compare two patients."""
    found = [point for compare in COMPARISONS for point in compare(one, other)]
    score = min(1.0, max(0.0, sum(points for points, _ in found)))
    return Likeness(round(score, 3), tuple(f"{reason} ({points:+.2f})" for points, reason in found))


Points = list[tuple[float, str]]


def _identifiers(one: Resource, other: Resource) -> Points:
    mine, theirs = identifiers(one), identifiers(other)
    if any(system for system, _ in mine & theirs):
        return [(0.75, "an identifier of the same system is equal")]
    if mine & theirs:
        return [(0.3, "an identifier without system is equal")]
    if {system for system, _ in mine if system} & {system for system, _ in theirs}:
        return [(-0.1, "identifiers of one system differ")]
    return []


def identifiers(patient: Resource) -> set[tuple[str, str]]:
    """System ("" if none) and value of every identifier in use."""
    listed = patient.get("identifier", ())
    return {(i.get("system", ""), i["value"]) for i in listed if "value" in i and i.get("use") != "old"}


def _names(one: Resource, other: Resource) -> Points:
    found: Points = []
    for part, points, off in (("family", 0.25, -0.25), ("given", 0.2, -0.15)):
        mine, theirs = names(one, part), names(other, part)
        if not mine or not theirs:
            continue
        if mine & theirs:
            found.append((points, f"{part} name is equal"))
        elif part == "given" and {name[0] for name in mine} & {name[0] for name in theirs if len(name) == 1}:
            found.append((0.08, "initial of the given name is equal"))
        elif any(_close(a, b) for a in mine for b in theirs):
            found.append((points / 2, f"{part} name is nearly equal"))
        else:
            found.append((off, f"{part} name differs"))
    return found


def names(patient: Resource, part: str) -> set[str]:
    """The folded family names, or the first given names, of all names."""
    listed = (name.get(part) for name in patient.get("name", ()))
    texts = (value[0] if isinstance(value, list) else value for value in listed if value)
    return {folded for text in texts if isinstance(text, str) and (folded := fold(text))}


def _close(one: str, other: str) -> bool:
    """Whether one letter was added, left out, changed or swapped with the next; for names of four letters or more."""
    if min(len(one), len(other)) < 4 or abs(len(one) - len(other)) > 1:
        return False
    short, long = sorted((one, other), key=len)
    at = next((n for n, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) < len(long):
        return short[at:] == long[at + 1 :]
    swapped = short[:at] + short[at + 1 : at + 2] + short[at : at + 1] + short[at + 2 :]
    return short[at + 1 :] == long[at + 1 :] or swapped == long


def _birth(one: Resource, other: Resource) -> Points:
    mine, theirs = one.get("birthDate"), other.get("birthDate")
    if not mine or not theirs:
        return []
    if mine == theirs:
        return [(0.3 if len(mine) == 10 else 0.12, "birth date is equal")]
    if mine.startswith(theirs) or theirs.startswith(mine):
        return [(0.12, "birth date is equal as far as it is known")]
    if len(mine) == len(theirs) == 10 and sorted(mine) == sorted(theirs) and mine[:4] == theirs[:4]:
        return [(0.12, "birth date has its digits swapped")]
    return [(-0.3, "birth date differs")]


def _sex(one: Resource, other: Resource) -> Points:
    mine, theirs = (patient.get("gender") for patient in (one, other))
    if mine not in ("male", "female") or theirs not in ("male", "female"):
        return []
    return [(0.05, "gender is equal")] if mine == theirs else [(-0.1, "gender differs")]


def _reach(one: Resource, other: Resource) -> Points:
    if contacts(one) & contacts(other):
        return [(0.15, "a phone number or e-mail address is equal")]
    return []


def contacts(patient: Resource) -> set[str]:
    """The values of telecom, numbers as their last nine digits."""
    found = set()
    for point in patient.get("telecom", ()):
        value = point.get("value", "")
        digits = "".join(filter(str.isdigit, value))
        if point.get("system") == "email":
            found.add(fold(value))
        elif len(digits) >= 6:
            found.add(digits[-9:])
    return found - {""}


def _home(one: Resource, other: Resource) -> Points:
    mine, theirs = list(_places(one)), list(_places(other))
    best = max((_same_place(a, b) for a in mine for b in theirs), default=(0.0, ""))
    return [best] if best[0] else []


def _places(patient: Resource) -> Iterable[Mapping[str, Any]]:
    return (
        {
            "line": fold(" ".join(line for line in address.get("line", ()) if line)),
            "city": fold(address.get("city", "")),
            "postalCode": "".join(address.get("postalCode", "").split()).lower(),
        }
        for address in patient.get("address", ())
    )


def _same_place(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[float, str]:
    same = {part for part in one if one[part] and one[part] == other[part]}
    if "line" in same and same & {"city", "postalCode"}:
        return 0.15, "address is equal"
    return (0.05, "postal code is equal") if "postalCode" in same else (0.0, "")


COMPARISONS = (_identifiers, _names, _birth, _sex, _reach, _home)
