"""What a check reports: problems found beneath a value, each with its place relative to that value."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

LIMIT = 50  # issues reported at once: enough to mend a resource, too few to fill memory with one bad array
DEPTH = 64  # levels of nesting in the parts of FHIR that may contain themselves


class Problem(NamedTuple):
    """A broken rule: `place` is ".contact[0].gender" or "", and `text` completes a sentence that starts with it."""

    code: str  # https://hl7.org/fhir/R4/valueset-issue-type.html
    text: str
    place: str = ""


Found = list[Problem] | None  # None or empty: nothing to report. No list is made for a valid value, as nearly all are


class Scope:
    """What a check must know of the surroundings: the resource that holds `contained`, and how deep it has come."""

    def __init__(self, root: Mapping[str, Any], depth: int) -> None:
        self.root = root
        self.depth = depth

    @cached_property
    def contained(self) -> dict[str, str]:
        """The resource types of the contained resources by their ids; "" for what is none."""
        inner = self.root.get("contained")
        return {
            one["id"]: one["resourceType"] if isinstance(one.get("resourceType"), str) else ""
            for one in (inner if isinstance(inner, list) else ())
            if isinstance(one, dict) and isinstance(one.get("id"), str)
        }


Check = Callable[[Any, Scope], Found]


def beneath(place: str, found: list[Problem]) -> list[Problem]:
    """The problems of a part, as problems of the whole."""
    return [Problem(problem.code, problem.text, place + problem.place) for problem in found]


def shown(value: Any) -> str:
    """A value in words that fit into a sentence: JSON's name of its type, or the first part of a text or number."""
    if isinstance(value, dict):
        return "an object" if value else "{}"
    if isinstance(value, list):
        return "an array" if value else "[]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    return str(value)[:60]
