"""Criteria that are an expression on the Patient. https://hl7.org/fhir/extensions/StructureDefinition-characteristicExpression.html

An expression sees the elements in SEEN and nothing else: no names and none of the attributes that must not enter a
match, such as race and language. Only functions that end soon are taken, in a depth and length that keep them quick;
what fails, says nothing or says something else than a boolean leaves the criterion unknown. Nothing is fetched.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import lru_cache
from typing import Any

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import DAY, bounds
from fhir_server.fhir.paths import LOCK, well_formed
from fhir_server.matching.facts import Facts
from fhir_server.matching.finding import Finding
from fhir_server.matching.kinds import Holds, Unjudged
from fhir_server.matching.values import word

URL = "http://hl7.org/fhir/StructureDefinition/characteristicExpression"
LANGUAGE = "text/fhirpath"
# Characters, brackets that open, `|`, elements of a list, functions that go over elements in each other.
LONGEST, BRACKETS, UNIONS, ELEMENTS, DEEPEST = 300, 30, 10, 10, 1
_EPOCH = date(1970, 1, 1).toordinal()
SEEN = (
    "resourceType", "id", "active", "gender", "birthDate", "deceasedBoolean", "deceasedDateTime", "address",
    "maritalStatus", "multipleBirthBoolean", "multipleBirthInteger", "generalPractitioner", "managingOrganization",
)  # fmt: skip
OVER = frozenset({"where", "exists", "all"})  # they evaluate what they are given once for each element
FUNCTIONS = OVER | {
    "empty", "not", "count", "distinct", "isDistinct", "allTrue", "anyTrue", "allFalse", "anyFalse", "first", "last",
    "single", "ofType", "is", "as", "iif", "contains", "startsWith", "endsWith", "length", "lower", "upper", "toString",
    "toInteger", "toDecimal", "toDate", "toDateTime", "toBoolean", "today", "now", "intersect", "subsetOf",
    "supersetOf",
}  # fmt: skip
_CLOCK = frozenset({"today", "now"})
_CONSTANTS = frozenset({"context", "resource"})


def expressions(group: Resource) -> list[tuple[int, Resource]]:
    """The characteristicExpression extensions of a Group, with their places."""
    return [(n, e) for n, e in enumerate(group.get("extension", ())) if e.get("url") == URL]


def expression_test(extension: Resource) -> Holds | Unjudged:
    """The test of an extension; Unjudged, with the reason, for what cannot be evaluated."""
    value: Mapping[str, Any] = extension.get("valueExpression", {})
    text = str(value.get("expression", ""))
    name = str(value.get("description") or value.get("name") or text or "no expression")
    if word(str(value.get("language", ""))) != LANGUAGE:
        return Unjudged(name, f"only expressions in {LANGUAGE} can be evaluated, not in {value.get('language')}")
    if not text.strip():
        return Unjudged(name, "it has no expression")
    if len(text) > LONGEST or text.count("(") > BRACKETS or text.count("|") > UNIONS:
        most = f"{LONGEST} characters, {BRACKETS} brackets that open and {UNIONS} unions"
        return Unjudged(name, f"an expression has at most {most}")
    try:
        called = _checked(text)
    except ValueError as error:
        return Unjudged(name, str(error))
    return Holds(name, text, bool(called & _CLOCK))


def subject(patient: Resource) -> Resource:
    """What an expression may see of a Patient, but for extensions in it."""
    return {name: patient[name] for name in SEEN if name in patient}


def holds(test: Holds, facts: Facts, today: date) -> Finding:
    """Met if the expression is true of each Patient that the person is, not met if it is false of each; where the birth
    date is partial, at both its ends."""
    evidence = facts.patients
    answers = {_answer(test.expression, given, today) for one in facts.subjects for given in _whole(one)}
    if answers == {True}:
        return Finding("met", f"{test.text}: true", evidence)
    if answers == {False}:
        return Finding("not-met", f"{test.text}: false", evidence)
    return Finding("unknown", f"{test.text}: the Patient does not tell", evidence, "Complete the Patient")


def _whole(seen: Mapping[str, Any]) -> Iterator[Resource]:
    """Copies for an expression, with a whole birth date: fhirpathpy compares partial dates with today as texts."""
    if any(isinstance(value, list) and len(value) > ELEMENTS for value in seen.values()):
        yield {}
        return
    used = [one for one in seen.get("address", ()) if one.get("use") != "old" and "end" not in one.get("period", {})]
    given = {name: value for name, value in seen.items() if name != "address"} | ({"address": used} if used else {})
    try:
        low, high = bounds(given.get("birthDate", ""))
        ends = {date.fromordinal(_EPOCH + us // DAY).isoformat() for us in (low, high - DAY)}
    except (ValueError, OverflowError):
        yield _bare({name: value for name, value in given.items() if name != "birthDate"})
        return
    for end in sorted(ends):
        yield _bare({**given, "birthDate": end})


def _bare(value: Any) -> Any:
    """A copy without extensions and periods."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in ("extension", "period") and not k.startswith("_")}
        return {name: _bare(inner) for name, inner in kept.items()}
    return [_bare(one) for one in value] if isinstance(value, list) else value


def _answer(expression: str, given: Resource, today: date) -> bool | None:
    with LOCK:  # fhirpathpy keeps state in module globals
        try:
            found = _compiled(expression, today.isoformat())(given, {"resource": given}) if given else []
        except Exception:  # whatever it stumbles over, it has not answered
            return None
    return found[0] if len(found) == 1 and isinstance(found[0], bool) else None


@lru_cache(maxsize=1024)
def _checked(text: str) -> frozenset[str]:
    """The functions that an expression calls. Raises ValueError for one that is not taken."""
    with LOCK:
        try:
            from fhirpathpy.parser import parse  # here, as in fhir/paths.py: it costs a third of a second

            well_formed(text)
            tree = parse(text)  # type: ignore[no-untyped-call]
        except Exception:  # RecursionError too
            raise ValueError("it is no FHIRPath") from None
    called = frozenset(name for name, _ in _calls(tree, 0))
    strange = sorted(called - FUNCTIONS)
    if strange:
        raise ValueError(f"the function {strange[0]}() is not taken in criteria")
    if any(depth > DEEPEST for name, depth in _calls(tree, 0) if name in OVER):
        raise ValueError(f"{', '.join(sorted(OVER))} are not taken within each other")
    for node in _nodes(tree):
        if node["type"] == "ExternalConstant" and _name(node) not in _CONSTANTS:
            raise ValueError(f"the variable %{_name(node)} is not known: there is %context, the Patient")
    return called


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for child in node.get("children", ()):
        yield child
        yield from _nodes(child)


def _calls(node: Mapping[str, Any], depth: int) -> Iterator[tuple[str, int]]:
    """Each function called, with how deep it lies in functions that go over elements."""
    for child in node.get("children", ()):
        inner = depth
        if child["type"] == "Functn":
            name = _name(child)
            inner += name in OVER and any(one["type"] == "ParamList" for one in child["children"])
            yield name, inner
        yield from _calls(child, inner)


def _name(node: Mapping[str, Any]) -> str:
    """The identifier of a function or variable."""
    return next((str(one["text"]).strip("`") for one in node["children"] if one["type"] == "Identifier"), "")


@lru_cache(maxsize=1024)
def _compiled(text: str, today: str) -> Callable[..., list[Any]]:
    """An expression with the clock of the match, which may be another than the machine's."""
    import fhirpathpy
    from fhirpathpy.models import models

    day = {"fn": lambda nodes: today, "arity": {0: []}}
    moment = {"fn": lambda nodes: f"{today}T00:00:00.000+00:00", "arity": {0: []}}
    options = {"userInvocationTable": {"today": day, "now": moment}}
    compiled: Callable[..., list[Any]] = fhirpathpy.compile(text, models["r4"], options)
    return compiled
