"""Does a resource meet profiles? Those that it claims, those it is asked about, those a setting requires. https://hl7.org/fhir/R4/profiling.html

Profiles and codes are looked up between rounds of checking (validation/library.py), as the operator sees them: a
verdict is the same for everyone. What was found is kept for a second, so that a package that was added is used at once.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import cache
from typing import Any, NamedTuple, TypeVar

from fhir_server.access import OPERATOR
from fhir_server.fhir.codec import Resource, encode
from fhir_server.fhir.definitions import load
from fhir_server.fhir.outcome import FhirError, Issue
from fhir_server.interactions.canonicals import Canonicals
from fhir_server.interactions.draft import without_server_meta
from fhir_server.server import Server
from fhir_server.terminology.holds import holds
from fhir_server.validation.compiled import answer, beside
from fhir_server.validation.conform import Found, conform
from fhir_server.validation.invariants import STRUCTURAL, Place, evaluate
from fhir_server.validation.items import Item, items, root
from fhir_server.validation.library import CORE, Library, Question
from fhir_server.validation.profile import Profile, compiled

ROUNDS = 8  # of checking and looking up: profiles in profiles
KEPT = 1.0  # seconds that what was looked up is used again
MADE = 600.0  # seconds that a compiled profile stays in memory: it is looked up by its version
PATIENCE = 5.0  # seconds for the invariants of one resource
THREAD = ThreadPoolExecutor(1, thread_name_prefix="invariants")  # fhirpathpy is for one thread at a time
JUDGED = 30.0  # seconds that a verdict on a resource waits for the transaction that asked for it
MOST_TOLD = 20  # of what could not be checked, and of elements that are absent

T = TypeVar("T")
logger = logging.getLogger("fhir_server.profiles")


class Claim(NamedTuple):
    """A resource, which may be inside another, and the profiles that it must meet; `asked`: they were asked about."""

    item: Item
    urls: tuple[str, ...]
    asked: bool = False


def claims(resource: Resource, asked: Sequence[str] | None = None) -> list[Claim]:
    """What a resource claims in `meta.profile`, and those inside it: contained ones, entries of a Bundle. With `asked`,
    even if empty, the extensions of the resource are to be checked whatever it claims."""
    found = [Claim(root(resource), tuple(asked), asked=True)] if asked is not None else []
    stack = [root(resource)]
    while stack:
        item = stack.pop()
        given = item.value.get("meta", {}).get("profile", ())
        urls = tuple(url for url in given if isinstance(url, str) and url not in (asked or ()))
        if urls:
            found.append(Claim(item, urls))
        inner = [*items(item, "contained")]
        for name in ("entry", "parameter"):
            inner += [one for part in items(item, name) for one in items(part, "resource")]
        stack += [one for one in inner if isinstance(one.value, dict) and one.type in load().resources]
    return found


async def verdict(server: Server, resource: Resource, wanted: Sequence[Claim]) -> list[Issue]:
    """What is wrong with a resource by the profiles, then what could not be checked and what is absent (information).
    The resource must have the structure that R4 defines."""
    library, issues = Library(), list[Issue]()
    canonicals = Canonicals(server, OPERATOR, server.store.search)
    await _look_up(server, canonicals, library, {url for claim in wanted for url in claim.urls if not _core(url)}, ())
    ready: list[tuple[Item, Profile | None]] = []
    for claim in wanted:
        ready += [(claim.item, None)] if not claim.urls else []
        for url in claim.urls:
            profile = library.profiles.get(url)
            if profile is not None:
                ready.append((claim.item, profile))
            elif not (_core(url) and url.partition("|")[0].removeprefix(CORE) == claim.item.type):
                issues.append(_unknown(claim, url))
    if not ready:
        return issues
    ask = Memory(resource)
    for _ in range(ROUNDS):
        library.missing_profiles.clear()
        library.missing_answers.clear()
        found = await asyncio.get_running_loop().run_in_executor(THREAD, _check, ready, resource, library, ask)
        if not library.missing_profiles and not library.missing_answers:
            break
        await _look_up(server, canonicals, library, library.missing_profiles.copy(), library.missing_answers.copy())
    return [*issues, *told(found)]


def _core(url: str) -> bool:
    """Whether it is R4's own definition of a resource type: structure.py checks that."""
    return url.startswith(CORE) and url.partition("|")[0].removeprefix(CORE) in load().structures


def _unknown(claim: Claim, url: str) -> Issue:
    if _core(url):
        return Issue("invalid", f"{claim.item.path} is no {url.removeprefix(CORE)}.", (claim.item.path,))
    text = f"The profile {url[:200]} is not known here: load it, or the package that it is in."
    return Issue("not-found", text, (claim.item.path,), "error" if claim.asked else "warning")


def _check(
    ready: Iterable[tuple[Item, Profile | None]], whole: Resource, library: Library, ask: "Memory"
) -> list[tuple[Profile | None, Found]]:
    return [
        (profile, conform(item, whole, profile, library, ask.holds, elsewhere(), PATIENCE)) for item, profile in ready
    ]


def told(found: Iterable[tuple[Profile | None, Found]]) -> Iterator[Issue]:
    seen: set[Issue] = set()
    for profile, one in found:
        for issue in one.issues:
            if issue not in seen:
                seen.add(issue)
                yield issue
        for text in one.untold[:MOST_TOLD]:
            yield Issue("not-supported", f"Not checked: {text}", (), "information")
        if one.absent and profile is not None:
            some = ", ".join(one.absent[:MOST_TOLD]) + (", ..." if len(one.absent) > MOST_TOLD else "")
            yield Issue(
                "informational", f"Must-support elements of {profile.url} that are absent: {some}.", (), "information"
            )


class Memory:
    """Invariants of one resource, each asked once in all rounds."""

    def __init__(self, whole: Resource) -> None:
        self._whole = whole
        self._quick = not beside(whole)
        self._copies: dict[str, Any] = {}
        self._answers: dict[tuple[str, str], bool | None] = {}

    def holds(self, expression: str, item: Item, resource: Mapping[str, Any]) -> bool | None:
        """What an invariant says of an element."""
        key = (expression, item.path)
        if key not in self._answers:
            self._answers[key] = self._told(expression, item, resource)
        return self._answers[key]

    def _told(self, expression: str, item: Item, resource: Mapping[str, Any]) -> bool | None:
        structure = item.structure or item.type
        if self._quick and (found := answer(expression, structure, item.value, resource, self._whole)) is not None:
            return found
        # fhirpathpy annotates what it is given
        value = self._copy(item.path, item.value if item.value is not None else dict(item.inside))
        place = Place(item.path, structure, value, self._copy(f"{id(resource)}", resource))
        return evaluate(expression, place, self._copy("", self._whole))

    def _copy(self, name: str, value: Any) -> Any:
        if name not in self._copies:
            self._copies[name] = deepcopy(value)
        return self._copies[name]


@cache
def elsewhere() -> frozenset[str]:
    """The keys of R4's own invariants, which `$validate` asks without profiles."""
    own = {rule.key for structure in load().structures.values() for rule in structure.invariants}
    return frozenset(own) | STRUCTURAL


async def _look_up(
    server: Server, canonicals: Canonicals, library: Library, urls: Iterable[str], questions: Iterable[Question]
) -> None:
    for url in urls:
        known = server.known.get(("profile", url))
        if known is None:
            known = (await _profile(server, canonicals, url),)
            server.known.put(("profile", url), known, KEPT)
        library.profiles[url] = known[0]
    for question in questions:
        known = server.known.get(question)
        if known is None:
            known = (await _member(canonicals, question),)
            server.known.put(question, known, KEPT)
        library.answers[question] = known[0]


async def _profile(server: Server, canonicals: Canonicals, url: str) -> Profile | None:
    if _core(url):
        return None
    resource = await canonicals.resource("StructureDefinition", url)
    if resource is None:
        return None
    meta = resource.get("meta", {})
    key = f"StructureDefinition/{url}/{resource.get('id')}/{meta.get('versionId')}/{meta.get('lastUpdated')}"
    made: Profile | None = server.systems.get(key)
    if made is None:
        try:
            made = compiled(resource)
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("StructureDefinition %s cannot be used: %s", url, error)
            return None
        server.systems.put(key, made, MADE)
    return made


async def _member(canonicals: Canonicals, question: Question) -> bool | None:
    url, system, code = question
    value_set = await canonicals.value_set(url)
    if value_set is None:
        return None
    try:
        return await holds(canonicals, value_set, system, code)
    except (FhirError, KeyError):  # a set that imports itself, or filters by what is not supported
        return None


async def require_profiles(server: Server, resources: Iterable[Resource]) -> None:
    """What the setting `profiles` asks of resources that are about to be written.

    `enforce`: FhirError 422 unless each meets what it claims and what is required of its type; `warn`: a line in the
    log. A resource without the structure of R4 is left to what refuses it.
    """
    if server.settings.profiles == "off":
        return
    for resource in resources:
        wanted = claims(resource, server.settings.required().get(str(resource.get("resourceType"))))
        if not wanted:
            continue
        try:
            server.validate(without_server_meta(resource))
        except FhirError:
            continue
        issues = [one for one in await verdict(server, resource, wanted) if _refused(one)]
        if issues and server.settings.profiles == "enforce":
            raise FhirError(422, [Issue(one.code, one.diagnostics, one.expression) for one in issues])
        if issues:
            places = ", ".join(dict.fromkeys(one.expression[0] for one in issues if one.expression))
            logger.warning("%s does not meet a profile that it claims: %s", resource["resourceType"], places[:500])


def _refused(issue: Issue) -> bool:
    """Errors, and claims that nobody can check."""
    return issue.severity == "error" or issue.code == "not-found"


class Unjudged(Exception):
    """A resource that came to be inside a transaction, where nothing can be looked up: it must be judged outside."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource


def require_judged(server: Server, resource: Resource) -> None:
    """As require_profiles, inside a transaction. Raises Unjudged, which `judging` answers."""
    if server.settings.profiles != "off" and server.known.get(_digest(resource)) is None:
        raise Unjudged(resource)


async def judging(work: Callable[[], Awaitable[T]], server: Server) -> T:
    """Do it, and again whenever a resource had to be judged first."""
    while True:
        try:
            return await work()
        except Unjudged as one:
            await require_profiles(server, (one.resource,))
            server.known.put(_digest(one.resource), True, JUDGED)


def _digest(resource: Resource) -> tuple[str, ...]:
    return ("judged", hashlib.sha256(encode(resource)).hexdigest())
