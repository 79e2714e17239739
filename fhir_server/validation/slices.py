"""Which slice an element belongs to, by the discriminators of the slicing. https://hl7.org/fhir/R4/profiling.html#discriminator"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fhir_server.fhir.definitions import load
from fhir_server.validation.items import Item, items, root
from fhir_server.validation.library import CORE, Answer, Library
from fhir_server.validation.profile import Node, Profile, Type
from fhir_server.validation.values import codes, contains, equal

_STEP = re.compile(r"extension\('([^']+)'\)|(resolve)\(\)|(?:ofType|as)\((\w+)\)|(\w+)")

Conforms = Callable[[Item, str], Answer]  # whether an item meets a profile
Here = tuple[Node, Profile]


class Slicer:
    """Tells slices apart within one resource, whose contained resources references may point at."""

    def __init__(self, library: Library, whole: Mapping[str, Any], conforms: Conforms) -> None:
        self._library, self._whole, self._conforms = library, whole, conforms

    def belongs(self, item: Item, by: Sequence[tuple[str, str]], slice: Here) -> Answer:
        """Whether the item is of the slice: all discriminators say so. None: it cannot be told."""
        answers = [self._one(item, kind, path, slice) for kind, path in by]
        return False if False in answers else None if None in answers or not answers else True

    def _one(self, item: Item, kind: str, path: str, slice: Here) -> Answer:
        steps = _steps(path)
        if steps is None:
            return None
        found, resolved = self._select(item, steps)
        if found is None:
            return None
        if path == "url" and (urls := self._urls(slice[0])):  # an extension is told by its profile's URL
            return item.inside.get("url") in urls
        nodes = self._nodes(slice, steps)
        match kind:
            case "exists":
                wanted = [node for node, _ in nodes]
                if any(node.max == 0 for node in wanted):
                    return not found
                return bool(found) if any(node.min for node in wanted) else None
            case "type":
                return self._typed(found, nodes, resolved)
            case "profile":
                return self._profiled(found, nodes, resolved)
        return self._alike(found, nodes)  # value and pattern mean the same

    def _select(self, item: Item, steps: list[str]) -> tuple[list[Item] | None, bool]:
        """The elements that the path leads to, and whether it ends in another resource; None: they are not here."""
        found, resolved = [item], False
        for step in steps:
            if step == "resolve()":
                targets = [self._resolve(one) for one in found]
                if None in targets:
                    return None, True
                found, resolved = [one for one in targets if one is not None], True
            elif step.startswith("extension:"):
                url = step.partition(":")[2]
                found = [e for one in found for e in items(one, "extension") if e.inside.get("url") == url]
            elif step.startswith("type:"):
                found = [one for one in found if one.type == step.partition(":")[2]]
            else:
                found = [inner for one in found for inner in (items(one, step) or items(one, f"{step}[x]"))]
        return found, resolved

    def _resolve(self, item: Item) -> Item | None:
        """What a reference points at, if that is contained; of any other resource its type alone."""
        reference = item.inside.get("reference", "")
        if not isinstance(reference, str) or not reference:
            return None
        if reference.startswith("#"):
            for one in self._whole.get("contained", ()):
                if one.get("id") == reference[1:]:
                    return root(one)
            return None
        type = item.inside.get("type") or reference.partition("/_history/")[0].rstrip("/").rpartition("/")[0]
        return Item(None, {}, str(type).rpartition("/")[2], "", item.path)

    def _nodes(self, slice: Here, steps: list[str]) -> list[Here]:
        """What the slice says of the elements that the path leads to."""
        here = [slice]
        for step in steps:
            if step == "resolve()":
                here = [(profile.root, profile) for node, _ in here for profile in self._profiles(node, targets=True)]
            elif step.startswith("type:"):
                continue
            else:
                name = "extension" if step.startswith("extension:") else step
                here = [inner for one in here for inner in self._step(one, name, step)]
        return here

    def _step(self, here: Here, name: str, step: str) -> list[Here]:
        node, profile = here
        inside = profile.inside(node)
        child = inside.children.get(name) or inside.children.get(f"{name}[x]")
        if child is not None and name == "extension":
            url = step.partition(":")[2]
            return [(one, profile) for one in child.slices.values() if url in self._urls(one)]
        if child is not None:
            return [(child, profile)]
        return [one for other in self._profiles(node) for one in self._step((other.root, other), name, step)]

    def _urls(self, node: Node) -> tuple[str, ...]:
        return tuple(url.partition("|")[0] for type in node.types for url in type.profiles)

    def _profiles(self, node: Node, targets: bool = False) -> list[Profile]:
        urls = [url for type in node.types for url in (type.targets if targets else type.profiles)]
        return [profile for url in urls if (profile := self._library.profile(url)) is not None]

    def _typed(self, found: list[Item], nodes: list[Here], resolved: bool) -> Answer:
        if not nodes or not found:
            return None if not nodes else False
        if resolved:
            wanted = {profile.type for _, profile in nodes}
        else:
            wanted = {type.code for node, _ in nodes for type in node.types}
        return any(one.type in wanted for one in found)

    def _profiled(self, found: list[Item], nodes: list[Here], resolved: bool) -> Answer:
        if resolved:
            urls = [profile.url for _, profile in nodes]
        else:
            urls = [url for node, _ in nodes for type in node.types for url in type.profiles]
        answers: list[Answer] = []
        for item in found:
            for url in urls:
                profile = self._library.profile(url)
                if profile is None:
                    answers.append(None)
                elif profile.type != item.type:
                    answers.append(False)
                else:
                    answers.append(self._conforms(item, url) if item.value is not None else None)
        return True if True in answers else None if None in answers or not urls else False

    def _alike(self, found: list[Item], nodes: list[Here]) -> Answer:
        """Whether some element has the value that the slice fixes, however deep inside it that is fixed."""
        answers = [self._like(found, *here) for here in nodes]
        told = [one for one in answers if one is not None]
        return all(told) if told else None

    def _like(self, found: Sequence[Item], node: Node, profile: Profile) -> Answer:
        """None where nothing is said about the value."""
        if node.fixed is not None:
            return any(equal(one.value, node.fixed) for one in found)
        if node.pattern is not None:
            return any(contains(one.value, node.pattern) for one in found)
        inside = profile.inside(node)
        answers: list[Answer] = [
            self._like([one for item in found for one in items(item, name)], child, profile)
            for name, child in inside.children.items()
            if name not in ("id", "extension")
        ]
        answers += [self._like(found, one, profile) for one in node.slices.values() if one.min]
        told = [one for one in answers if one is not None]
        if told:
            return all(told)
        for bound in node.bounds:
            if bound.strength == "required" and found:
                return self._bound(found, bound.value_set)
        if node.types and not inside.children:
            answers = [self._like(found, other.root, other) for other in self._profiles(node)]
            if node.name in ("extension", "modifierExtension") and any(one is None for one in answers):
                return any(one.inside.get("url") in self._urls(node) for one in found)
            told = [one for one in answers if one is not None]
            return any(told) if told else None
        return None

    def _bound(self, found: Sequence[Item], value_set: str) -> Answer:
        pairs = [pair for one in found for pair in codes(one) or ()]
        answers = [self._library.member(value_set, *pair) for pair in pairs]
        return True if True in answers else None if None in answers else False


def _steps(path: str) -> list[str] | None:
    """A discriminator's path as steps; None if it is none that R4 allows."""
    if path == "$this":
        return []
    found: list[str] = []
    for part in re.split(r"\.(?![^(]*\))", path.removeprefix("$this.")):
        step = _STEP.fullmatch(part)
        if step is None:
            return None
        url, resolve, type, name = step.groups()
        found.append(f"extension:{url}" if url else "resolve()" if resolve else f"type:{type}" if type else name)
    return found


def reaches(types: Sequence[Type], target: str, library: Library) -> Answer:
    """Whether a reference to a resource of type `target` may stand where these types are; None: a profile that is
    named is not known."""
    urls = [url for type in types for url in type.targets]
    if not urls:
        return True
    unknown = False
    for url in urls:
        name = url.partition("|")[0].removeprefix(CORE)
        if name in ("Resource", target):
            return True
        if name not in load().structures:
            profile = library.profile(url)
            unknown |= profile is None
            if profile is not None and profile.type == target:
                return True
    return None if unknown else False
