"""ValueSet/$expand: the codes of a value set, by the page. https://hl7.org/fhir/R4/valueset-operation-expand.html"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fhir_server.access import Caller
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import instant
from fhir_server.fhir.outcome import refuse
from fhir_server.fhir.references import canonical
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.canonicals import Canonicals
from fhir_server.operations.coded import display, subject
from fhir_server.operations.inputs import Inputs
from fhir_server.search.known import Members
from fhir_server.server import Server
from fhir_server.store.terms import AllOf, Keyed, No
from fhir_server.terminology.concepts import ABSTRACT, Names, parents, texts, words
from fhir_server.terminology.expand import MOST_CODES, Entry, Reading, entry, expand, selected, too_costly
from fhir_server.terminology.select import mentioning
from fhir_server.terminology.source import Source, Versions, sound
from fhir_server.terminology.system import identity, whole

TAKES = {
    "url": "string",
    "valueSet": "object",
    "valueSetVersion": "string",
    "filter": "string",
    "date": "date",
    "offset": "offset",
    "count": "offset",
    "includeDesignations": "boolean",
    "designation": "string*",
    "includeDefinition": "boolean",
    "activeOnly": "boolean",
    "excludeNested": "boolean",
    "excludeNotForUI": "boolean",
    "excludePostCoordinated": "boolean",
    "displayLanguage": "string",
    "exclude-system": "string*",
    "system-version": "string*",
    "check-system-version": "string*",
    "force-system-version": "string*",
}
ECHOED = ("filter", "offset", "count", "includeDesignations", "activeOnly", "excludeNested", "excludeNotForUI",
          "displayLanguage")  # fmt: skip


class Page(NamedTuple):
    """Some codes of an expansion, and how many there are in all."""

    entries: Sequence[Entry]
    total: int


async def expand_(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """The ValueSet with an expansion. FhirError 404 if it is not known; 400 if it cannot be listed, or all at once."""
    found: Canonicals = Canonicals(server, caller, server.store.search)
    asked = await subject(server, caller, ask, given, "valueSet")
    url = given.get("url", "") or (asked or {}).get("url", "")
    value_set: Resource | Members | None = asked
    if value_set is None:
        if not url:
            raise refuse(400, "required", "Which value set? Give its url, or the valueSet itself.", "url")
        version = given.get("valueSetVersion", "")
        value_set = await found.value_set(f"{url}|{version}" if version else url)
    if value_set is None:
        raise refuse(404, "not-found", f"Value set {url[:200]!r} is not known here.", "url")
    reading = Reading(_versions(found, given), active=given.get("activeOnly", False))
    with sound(url or "The value set"):
        page = await _direct(reading, value_set, url, given) or await _all(reading, value_set, url, given)
    body: Resource = {"resourceType": "ValueSet", "url": canonical(url)[0], "status": "active"}
    if isinstance(value_set, dict):
        dropped = () if given.get("includeDefinition") else ("compose", "text", "expansion")
        body = {key: value for key, value in value_set.items() if key not in dropped}
    told = [_parameter(name, given[name]) for name in ECHOED if name in given]
    told += [{"name": "version", "valueUri": one} for one in reading.versions]
    expansion: dict[str, Any] = {
        "identifier": f"urn:uuid:{uuid.uuid4()}",
        "timestamp": instant(server.clock()),
        "total": page.total,
        **({"offset": given.get("offset", 0)} if "offset" in given or "count" in given else {}),
        **({"parameter": told} if told else {}),
    }
    nested = given.get("excludeNested") is False and not {"filter", "offset", "count"} & given.keys()
    contains = _tree(page.entries, given) if nested else [_contains(one, given) for one in page.entries]
    return Answer(
        200, codec.encode({**body, "expansion": {**expansion, **({"contains": contains} if contains else {})}})
    )


def _versions(source: Source, given: Inputs) -> Source:
    """The source, with the versions of code systems that the request asks for."""
    asked = [dict(_pair(name, one) for one in given.get(name, ()))
             for name in ("force-system-version", "system-version", "check-system-version")]  # fmt: skip
    return Versions(source, *asked) if any(asked) else source


def _pair(name: str, text: str) -> tuple[str, str]:
    url, version = canonical(text)
    if not version:
        raise refuse(400, "value", f"{name} must be system|version, not {text[:200]!r}.", name)
    return url, version


def _parameter(name: str, value: Any) -> Resource:
    kind = "valueBoolean" if isinstance(value, bool) else "valueInteger" if isinstance(value, int) else "valueString"
    return {"name": name, kind: value}


async def _direct(reading: Reading, value_set: Resource | Members, url: str, given: Inputs) -> Page | None:
    """A page read straight from the one code system that the set selects from: of any size. None for other sets."""
    compose = value_set.get("compose", {}) if isinstance(value_set, dict) else {}
    include = compose.get("include", ())
    if len(include) != 1 or compose.get("exclude") or not include[0].keys() <= {"system", "version", "filter", "id"}:
        return None
    system = await reading.source.system(include[0]["system"], include[0].get("version", ""))
    if system is None or not (whole(system) or include[0].get("filter")):
        return None
    if system.about["url"] in given.get("exclude-system", ()):
        return Page((), 0)
    where = await selected(system, include[0], compose.get("inactive", True) and not reading.active)
    if "filter" in given:
        where = AllOf((where, mentioning(given["filter"])))
    if given.get("excludeNotForUI"):
        where = AllOf((where, No(Keyed(ABSTRACT))))
    total = await system.count(where)
    count = given.get("count", total)
    if min(count, total) > MOST_CODES:
        raise too_costly(url or include[0]["system"])
    terms = await system.select(where, given.get("offset", 0), count)
    reading.versions[identity(system)] = None
    return Page([entry(system, one) for one in terms], total)


async def _all(reading: Reading, value_set: Resource | Members, url: str, given: Inputs) -> Page:
    """The whole expansion, and of it the page."""
    found = await expand(reading, value_set, url)
    left = set(given.get("exclude-system", ()))
    if found.systems - left:
        systems = ", ".join(sorted(found.systems - left))[:200]
        text = f"{url[:200]!r} holds all codes of {systems}, which is not loaded: load it, or ask for $validate-code."
        raise refuse(400, "not-supported", text)
    entries = [one for one in found.entries.values() if one.system not in left]
    if reading.active:
        entries = [one for one in entries if not one.inactive]
    if "filter" in given:
        entries = [one for one in entries if _mentions(one, words(given["filter"]))]
    if given.get("excludeNotForUI"):
        entries = [one for one in entries if not one.abstract]
    first = given.get("offset", 0)
    page = entries[first : first + given.get("count", len(entries))]
    return Page(page, len(entries))


def _mentions(one: Entry, wanted: list[str]) -> bool:
    have = [word for text in (one.code, *texts(one.concept)) for word in words(text)]
    return all(any(word.startswith(begin) for word in have) for begin in wanted)


def _contains(one: Entry, given: Inputs) -> Resource:
    found: Resource = {"system": one.system} if one.system else {}
    if one.abstract:
        found["abstract"] = True
    if one.inactive:
        found["inactive"] = True
    if one.version:
        found["version"] = one.version
    found["code"] = one.code
    name = display(one.concept, given.get("displayLanguage", ""))
    if name:
        found["display"] = name
    told = one.concept.get("designation", ()) if given.get("includeDesignations") else ()
    wanted = given.get("designation", ())
    listed = [dict(each) for each in told if not wanted or _wanted(each, wanted)]
    return {**found, **({"designation": listed} if listed else {})}


def _wanted(designation: Mapping[str, Any], wanted: Sequence[str]) -> bool:
    """Whether a designation is of a language, or of a use `system|code`, that is asked for."""
    use = designation.get("use", {})
    have = {designation.get("language"), f"{use.get('system', '')}|{use.get('code', '')}"}
    return any(one.removeprefix("urn:ietf:bcp:47|") in have for one in wanted)


def _tree(entries: Sequence[Entry], given: Inputs) -> list[Resource]:
    """Codes within the first of their parents that is listed too."""
    made = {(one.system, one.code): _contains(one, given) for one in entries}
    roots: list[Resource] = []
    for one in entries:
        above = next((made[one.system, p] for p in parents(one.concept, Names()) if (one.system, p) in made), None)
        (roots if above is None else above.setdefault("contains", [])).append(made[one.system, one.code])
    return roots
