"""Is a code in a value set? Answered without an expansion, so the size of the set does not matter. https://hl7.org/fhir/R4/valueset-operation-validate-code.html"""

from collections.abc import Mapping
from typing import Any

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import refuse
from fhir_server.search.known import Members
from fhir_server.store.terms import AllOf, Among
from fhir_server.terminology.expand import DEEPEST, contained, selected
from fhir_server.terminology.source import Source
from fhir_server.terminology.system import term, whole

Answer = bool | None  # None: it cannot be told here, because a code system or value set is not loaded


async def holds(
    source: Source,
    value_set: Resource | Members,
    system: str,
    code: str,
    depth: int = 0,
    done: dict[str, Answer] | None = None,
) -> Answer:
    """Whether the value set holds the code; "" as `system` stands for any. Raises FhirError 400 for a set that imports
    itself or filters by an unknown operator. `done`: what is known of imported sets, by URL; each is asked once."""
    done = {} if done is None else done
    if depth > DEEPEST:
        raise refuse(400, "too-costly", f"A value set imports more than {DEEPEST} deep, or itself.")
    if isinstance(value_set, Members):
        listed = any(code == one and system in ("", of) for of, one in value_set.pairs)
        return listed or system in value_set.systems
    compose = value_set.get("compose")
    if compose is None:
        entries = contained(value_set.get("expansion", {}).get("contains", ()), abstract=True)
        return any(code == one.code and system in ("", one.system) for one in entries)
    inactive = compose.get("inactive", True)
    found: Answer = False
    for part in compose.get("include", ()):
        found = _either(found, await _in(source, part, system, code, depth, inactive, done))
        if found:
            break
    for part in compose.get("exclude", ()) if found is not False else ():
        out = await _in(source, part, system, code, depth, True, done)
        if out:
            return False
        found = None if out is None else found
    return found


def _either(one: Answer, other: Answer) -> Answer:
    return True if one or other else None if one is None or other is None else False


async def _in(
    source: Source,
    part: Mapping[str, Any],
    system: str,
    code: str,
    depth: int,
    inactive: bool,
    done: dict[str, Answer],
) -> Answer:
    """Whether one include or exclude takes the code: its system part and each of its value sets must."""
    answers: list[Answer] = []
    if "system" in part:
        answers.append(await _in_system(source, part, system, code, inactive))
    for url in part.get("valueSet", ()):
        if False in answers:
            break
        if url not in done:
            inner = await source.value_set(url)
            done[url] = None if inner is None else await holds(source, inner, system, code, depth + 1, done)
        answers.append(done[url])
    if not answers or False in answers:
        return False
    return None if None in answers else True


async def _in_system(source: Source, part: Mapping[str, Any], system: str, code: str, inactive: bool) -> Answer:
    if system not in ("", part["system"]):
        return False
    enumerated = part.get("concept")
    if enumerated is not None and (inactive or all(one["code"] != code for one in enumerated)):
        return any(one["code"] == code for one in enumerated)
    found = await source.system(part["system"], part.get("version", ""))
    if found is None:
        if not part.get("filter") and enumerated is None:
            return (
                True if system else None
            )  # the whole of a system that is not loaded: that the code exists is not told
        return None if enumerated is None else True
    one = await term(found, code)
    if one is None:
        return False if whole(found) else None if part.get("filter") or not system else True
    return bool(await found.count(AllOf((await selected(found, part, inactive), Among((one.n,))))))
