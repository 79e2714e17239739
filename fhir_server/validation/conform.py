"""Whether a resource meets a profile, element by element. https://hl7.org/fhir/R4/profiling.html

Cardinality, types, targets, fixed values and patterns, bindings, slices, extensions, invariants, must-support.

The resource must have the structure that R4 defines already (structure.py), and R4's own invariants are asked elsewhere
(invariants.py). What cannot be told, because a profile or a code system is not loaded, is collected, never reported as
an error.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fhir_server.fhir.definitions import load
from fhir_server.fhir.outcome import Issue
from fhir_server.fhir.references import parse
from fhir_server.validation.items import Item, extensions, items
from fhir_server.validation.library import CORE, Library
from fhir_server.validation.profile import Bound, Node, Profile
from fhir_server.validation.slices import Slicer, reaches
from fhir_server.validation.values import codes, contains, equal, shown

DEEPEST = 40  # profiles in profiles
LIMIT = 100  # issues reported
SIMPLE = CORE + "SimpleQuantity"  # the one profile among R4's types

Holds = Callable[[str, Item, Mapping[str, Any]], bool | None]  # expression, element, the resource that it is in


class Found(NamedTuple):
    """The issues of a check, what could not be told (a sentence each), and must-support elements that are absent."""

    issues: list[Issue]
    untold: list[str]
    absent: list[str]


def conform(
    item: Item,
    whole: Mapping[str, Any],
    profile: Profile | None,
    library: Library,
    holds: Holds,
    skip: frozenset[str],
    patience: float,
) -> Found:
    """Check a resource, which may be inside a `whole` one, against a profile, and each extension in it against the
    profile that its URL names; without a profile, these alone.

    `skip` are keys of invariants that are asked elsewhere; after `patience` seconds invariants are left out, and that
    is said. What is missing in the library is noted there.
    """
    check = _Check(whole, library, holds, skip, time.monotonic() + patience)
    if profile is not None:
        check.profile(item, profile)
    for extension in extensions(item):
        check.extension(extension)
    return Found(check.issues[:LIMIT], list(check.untold), list(check.absent))


class _Check:
    """One check being made."""

    def __init__(
        self, whole: Mapping[str, Any], library: Library, holds: Holds, skip: frozenset[str], deadline: float
    ) -> None:
        self.issues: list[Issue] = []
        self.untold: dict[str, None] = {}
        self.absent: dict[str, None] = {}
        self._whole, self._library, self._holds, self._skip = whole, library, holds, skip
        self._deadline = deadline
        self._slicer = Slicer(library, whole, self._conforms)
        self._done: set[tuple[str, str]] = set()  # (path, profile) that were checked
        self._resources: list[Mapping[str, Any]] = []  # those that the element under check is in, the innermost last
        self._depth = 0

    def profile(self, item: Item, profile: Profile) -> None:
        """All that a profile says of an element and of what is inside it."""
        if (item.path, profile.url) in self._done or self._depth > DEEPEST:
            return
        self._done.add((item.path, profile.url))
        self._depth += 1
        resource = isinstance(item.value, dict) and "resourceType" in item.value
        if resource:
            self._resources.append(item.value)
        if profile.type != item.type:
            self._note("structure", item.path, f"must be a {profile.type} to meet {profile.url}, not a {item.type}")
        else:
            self._element(item, profile.root, profile)
        if resource:
            self._resources.pop()
        self._depth -= 1

    def extension(self, item: Item) -> None:
        """An extension by its definition, if that is known. A URL within another extension is no URL but a name."""
        url = item.inside.get("url")
        if isinstance(url, str) and "/" in url and (own := self._library.profile(url)) is not None:
            self.profile(item, own)

    def _conforms(self, item: Item, url: str) -> bool | None:
        """Whether an element meets a profile, for a discriminator."""
        profile = self._library.profile(url)
        if profile is None:
            return None
        inner = _Check(self._whole, self._library, self._holds, self._skip, self._deadline)
        inner._depth = self._depth + 1
        inner.profile(item, profile)
        return not any(issue.severity == "error" for issue in inner.issues)

    def _note(self, code: str, path: str, text: str, severity: str = "error") -> None:
        issue = Issue(code, f"{path} {text}.", (path,), severity)
        if len(self.issues) < LIMIT and issue not in self.issues:  # an element and its slice say much the same
            self.issues.append(issue)

    def _element(self, item: Item, node: Node, profile: Profile) -> None:
        self._type(item, node)
        if node.fixed is not None and not equal(item.value, node.fixed):
            self._note("value", item.path, f"must be exactly {shown(node.fixed)}")
        if node.pattern is not None and not contains(item.value, node.pattern):
            self._note("value", item.path, f"must hold {shown(node.pattern)}")
        for bound in node.bounds:
            self._bound(item, bound)
        self._limits(item, node)
        self._rules(item, node)
        self._inner_profiles(item, node)
        inside = profile.inside(node)
        for child in inside.children.values():
            self._child(item, child, profile)

    def _child(self, parent: Item, node: Node, profile: Profile) -> None:
        """All elements of one name: how many there are, each of them, and those of each slice."""
        found = items(parent, node.name)
        where = f"{parent.path}.{node.name.removesuffix('[x]')}"
        self._count(len(found), node, where, "")
        for item in found:
            self._element(item, node, profile)
        if node.slices:
            self._slices(found, node, profile, where)

    def _count(self, number: int, node: Node, where: str, what: str) -> None:
        if number < node.min:
            need = "is required" if node.min == 1 and not what else f"must be there {node.min} times or more{what}"
            self._note("required", where, need)
        elif node.max is not None and number > node.max:
            most = "must not be there" if node.max == 0 else f"must be there {node.max} times at most"
            self._note("structure", where, f"{most}{what}, not {number}" if node.max else f"{most}{what}")
        elif node.must and number == 0:
            self.absent[f"{where}{f':{node.slice}' if node.slice else ''}"] = None

    def _slices(self, found: Sequence[Item], node: Node, profile: Profile, where: str) -> None:
        slicing = node.slicing
        by = slicing.by if slicing else ()
        if not by and node.name.endswith("[x]"):
            by = (("type", "$this"),)
        if not by:
            self.untold[f"The slices of {node.id} have no discriminator."] = None
            return
        sorted_: dict[str, list[Item]] = {name: [] for name in node.slices}
        order: list[int] = []
        unsure = False
        names = list(node.slices)
        for item in found:
            answers = {name: self._slicer.belongs(item, by, (slice, profile)) for name, slice in node.slices.items()}
            name = next((name for name, answer in answers.items() if answer), None)
            if name is not None:
                sorted_[name].append(item)
            elif None in answers.values():
                unsure = True
                slices = ", ".join(name for name, answer in answers.items() if answer is None)
                self.untold[f"Whether {item.path} is of {slices} cannot be told."] = None
            elif slicing is not None and slicing.rules == "closed":
                self._note(
                    "structure",
                    item.path,
                    f"is of none of the slices {', '.join(node.slices)}, and others may not be there",
                )
            order.append(len(names) if name is None else names.index(name))
        if slicing is not None and (slicing.ordered or slicing.rules == "openAtEnd"):
            self._order(slicing.ordered, order, len(names), where)
        for name, slice in node.slices.items():
            if not (unsure and len(sorted_[name]) < slice.min):
                self._count(len(sorted_[name]), slice, where, f" as {name}")
            for item in sorted_[name]:
                self._element(item, slice, profile)
            if slice.slices:
                self._slices(sorted_[name], slice, profile, where)

    def _order(self, ordered: bool, order: list[int], others: int, where: str) -> None:
        """Slices in the order of the profile if it is ordered, and what is of no slice behind all of them."""
        wanted = [number if ordered else int(number == others) for number in order]
        if wanted != sorted(wanted):
            self._note(
                "structure", where, "must be in the order of its slices" if ordered else "must begin with its slices"
            )

    def _type(self, item: Item, node: Node) -> None:
        if not node.types:
            return
        allowed = [type for type in node.types if type.code in (item.type, "Resource", "DomainResource", "Element")]
        if not allowed and item.value is not None:
            types = ", ".join(dict.fromkeys(type.code for type in node.types))
            self._note("structure", item.path, f"must be of type {types}, not {item.type}")
        elif item.type == "Reference":
            self._target(item, node)

    def _target(self, item: Item, node: Node) -> None:
        reference = item.inside.get("reference")
        if not isinstance(reference, str):
            return
        type = item.inside.get("type") or parse(reference, "").type or self._contained(reference)
        if not type and "://" in reference:
            parts = reference.partition("/_history/")[0].split("/")
            type = parts[-2] if len(parts) > 1 and parts[-2][:1].isupper() else ""
        answer = reaches(node.types, type, self._library) if type else True
        if answer is False:
            urls = ", ".join(dict.fromkeys(url.removeprefix(CORE) for one in node.types for url in one.targets))
            self._note("structure", item.path, f"must refer to {urls}, not to a {type}")

    def _contained(self, reference: str) -> str:
        if not reference.startswith("#"):
            return ""
        found = [one for one in self._whole.get("contained", ()) if one.get("id") == reference[1:]]
        return str(found[0]["resourceType"]) if found else ""

    def _bound(self, item: Item, bound: Bound) -> None:
        if bound.strength not in ("required", "extensible") or item.value is None:
            return
        if bound.value_set.partition("|")[0] == item.bound:  # R4's own, which was asked already
            return
        pairs = codes(item)
        if pairs is None or (not pairs and bound.strength == "extensible"):
            return
        answers = [self._library.member(bound.value_set, *pair) for pair in pairs]
        if True in answers:
            return
        if None in answers:
            self.untold[f"Codes of {bound.value_set} cannot be checked here."] = None
        elif bound.strength == "required":
            had = ", ".join("|".join(filter(None, pair)) for pair in pairs)[:200] or "no coding"
            self._note("code-invalid", item.path, f"must be a code of {bound.value_set}, not {had}")
        else:
            had = ", ".join("|".join(filter(None, pair)) for pair in pairs)[:200]
            self._note(
                "code-invalid", item.path, f"should be a code of {bound.value_set}, if one fits, not {had}", "warning"
            )

    def _limits(self, item: Item, node: Node) -> None:
        for kind, limit in node.limits.items():
            value = item.value
            if kind == "maxLength" and isinstance(value, str) and len(value) > limit:
                self._note("too-long", item.path, f"must have {limit} characters at most")
            elif kind == "minValue" and _comparable(value, limit) and value < limit:
                self._note("value", item.path, f"must be {limit} or more")
            elif kind == "maxValue" and _comparable(value, limit) and value > limit:
                self._note("value", item.path, f"must be {limit} or less")

    def _rules(self, item: Item, node: Node) -> None:
        for rule in node.rules:
            if rule.key in self._skip:
                continue
            if time.monotonic() > self._deadline:
                self.untold["Not all invariants were checked: they took too long."] = None
                return
            answer = self._holds(rule.expression, item, self._resources[-1] if self._resources else self._whole)
            if answer is None:
                self.untold[f"The invariant {rule.key} cannot be checked."] = None
            elif not answer:
                text = f"breaks {rule.key}: {rule.human or rule.expression}"
                self._note("invariant", item.path, text.rstrip("."), rule.severity)

    def _inner_profiles(self, item: Item, node: Node) -> None:
        """The profiles of the element's type: it must meet one of them. An extension, the one of its URL."""
        if item.type == "Extension" and isinstance(item.inside.get("url"), str) and node.id != "Extension":
            self.extension(item)
            return
        urls = [url for type in node.types if type.code == item.type for url in type.profiles]
        if SIMPLE in urls and "comparator" in item.inside:
            self._note("structure", f"{item.path}.comparator", "must not be there: the element is a SimpleQuantity")
        urls = [url for url in urls if url.removeprefix(CORE) not in load().structures]  # R4's own types
        known = [profile for url in urls if (profile := self._library.profile(url)) is not None]
        if len(known) == 1 and len(urls) == 1:
            self.profile(item, known[0])
        elif len(known) < len(urls):
            self.untold[
                f"{', '.join(url for url in urls if self._library.profile(url) is None)} is not known here."
            ] = None
        elif known and not any(self._conforms(item, profile.url) for profile in known):
            self._note("structure", item.path, f"must meet one of {', '.join(urls)}")


def _comparable(value: Any, limit: Any) -> bool:
    """Whether two values are numbers, or texts of which the order is that of what they mean (dates)."""
    texts = isinstance(value, str) and isinstance(limit, str) and len(value) == len(limit)
    numbers = all(not isinstance(one, (str, bool, dict, list)) and one is not None for one in (value, limit))
    return texts or numbers
