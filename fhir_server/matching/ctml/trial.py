"""A CTML document as a ResearchStudy with a Group for each match clause, and back. See docs/ctml.md

What FHIR has no element for is kept: the document without its clauses at the ResearchStudy, each clause at its Group.
Back come the words that were written, where they still mean what is stored, and else words for what is stored.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.matching.criteria import ARM_STATUS
from fhir_server.matching.ctml.clauses import grouped, read_clause, say_clause, within
from fhir_server.matching.ctml.levels import Level, levels, ways
from fhir_server.matching.ctml.study import NCT, PROTOCOL, arm_names, brought_up, elements, study_id
from fhir_server.matching.ctml.words import STATUSES, Unmapped, said
from fhir_server.matching.values import OWN
from fhir_server.terminology.codes import Terminology

TRIAL, CLAUSE = (f"{OWN}/StructureDefinition/ctml-{name}" for name in ("trial", "clause"))


class Refused(ValueError):
    """A document that cannot be mapped: every reason."""

    def __init__(self, problems: list[Unmapped]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def read_trial(document: Mapping[str, Any], terminology: Terminology) -> list[Resource]:
    """The ResearchStudy of a document, then its Groups. Raises Refused with every key that cannot be mapped."""
    problems: list[Unmapped] = []
    frame = copy.deepcopy(dict(document))
    found = levels(frame, problems)
    study: Resource = {}
    try:
        study = {"resourceType": "ResearchStudy", "id": study_id(document), **elements(frame, found)}
    except Unmapped as error:
        problems.append(error)
    names, groups = arm_names(found), {}  # type: dict[tuple[int, int], str], dict[int, Resource]
    for level in found:
        clause = level.body.get("match")
        if clause in (None, []):
            continue
        above = next((groups[id(one)] for one in level.chain if id(one) in groups), None)
        try:
            group = _group(f"{study.get('id', '')}-{level.tail}", level, names, clause, above, terminology)
        except Unmapped as error:
            problems.append(error.within("match").within(level.path))
            continue
        groups[id(level)] = group
        level.body["match"] = f"Group/{group['id']}"
    if problems:
        raise Refused(problems)
    enrolled = _opened(found, groups)
    if enrolled:
        study["enrollment"] = [{"reference": f"Group/{group}"} for group in enrolled]
    study["extension"] = [{"url": TRIAL, "valueString": codec.encode(frame).decode()}]
    return [study, *groups.values()]


def _group(
    id: str,
    level: Level,
    names: Mapping[tuple[int, int], str],
    clause: Any,
    above: Resource | None,
    terminology: Terminology,
) -> Resource:
    characteristics, held = grouped(read_clause(clause, terminology), f"{level.tail}c")
    if not characteristics:
        raise Unmapped("", "it holds no criterion")
    parent = [{"id": _above_id(above), **within(f"Group/{above['id']}")}] if above else []
    name = names[level.arm] if level.arm else f"{level.kind.capitalize()} {level.body.get('step_code', '')}".strip()
    return {
        "resourceType": "Group",
        "id": id,
        "extension": [{"url": CLAUSE, "valueString": codec.encode(clause).decode()}],
        **({"contained": held} if held else {}),
        "active": True,
        "type": "person",
        "actual": False,
        "name": name,
        "characteristic": [*parent, *characteristics],
    }


def _above_id(group: Resource) -> str:
    """The id of the criterion that the Group of the level above is met."""
    return f"of-{group['id'].rpartition('-')[2]}"


def _opened(found: list[Level], groups: Mapping[int, Resource]) -> list[str]:
    """The ids of the Groups by which one enters: the nearest of each way in. One without an open way is not active."""
    opened: dict[int, bool] = {}
    for level in ways(found):
        nearest = next((one for one in level.chain if id(one) in groups), None)
        if nearest is not None:
            # Whether an arm is closed is said by the arm itself.
            closing = [one for one in level.chain if one.kind == "dose" or nearest.arm is None]
            opened[id(nearest)] = opened.get(id(nearest), False) or not any(one.suspended for one in closing)
    for key, open_ in opened.items():
        groups[key]["active"] = open_
    return [groups[key]["id"] for key in opened]


def say_trial(study: Resource, group: Callable[[str], Resource | None], terminology: Terminology) -> dict[str, Any]:
    """The CTML document of a ResearchStudy; `group` gives a Group by its reference. Raises Unmapped, naming the
    element, for what CTML cannot say."""
    kept = next((e["valueString"] for e in study.get("extension", ()) if e.get("url") == TRIAL), None)
    if kept is None:
        return _native(study, group, terminology)
    document: dict[str, Any] = codec.decode(kept.encode())
    found = levels(document, [])
    stored: dict[int, Resource] = {}
    for level in found:
        reference = level.body.get("match")
        if not isinstance(reference, str):
            continue
        one = group(reference)
        if one is None:
            raise Unmapped(reference, "the Group of a match clause cannot be found")
        above = next((stored[id(it)] for it in level.chain if id(it) in stored), None)
        stored[id(level)] = one
        level.body["match"] = _clause(one, level, arm_names(found), above, terminology)
        if level.kind == "dose" and (one.get("active") is False) != level.suspended:
            level.body["level_suspended"] = "N" if level.suspended else "Y"
    brought_up(document, found, study)
    entered = [one.get("reference", "") for one in study.get("enrollment", ())]
    if set(entered) != {f"Group/{id}" for id in _opened(found, copy.deepcopy(stored))}:
        raise Unmapped("ResearchStudy.enrollment", "it was changed since the import, which is not exported")
    return document


def _clause(
    group: Resource,
    level: Level,
    names: Mapping[tuple[int, int], str],
    above: Resource | None,
    terminology: Terminology,
) -> Any:
    """What was written, if it still means the criteria that are stored; else words for these."""
    kept = next((e["valueString"] for e in group.get("extension", ()) if e.get("url") == CLAUSE), None)
    if kept is not None:
        clause = codec.decode(kept.encode())
        try:
            again = _group(group["id"], level, names, clause, above, terminology)
        except Unmapped:
            again = {}
        if all(group.get(part) == again.get(part) for part in ("characteristic", "contained", "modifierExtension")):
            return clause
    try:
        return say_clause(group, terminology, _above_id(above) if above else "")
    except Unmapped as error:
        raise error.within(f"Group/{group['id']}") from None


def _native(study: Resource, group: Callable[[str], Resource | None], terminology: Terminology) -> dict[str, Any]:
    """A document for a study that never was CTML: one step, an arm for each Group by which one enters."""
    identifiers = {one.get("system", "").rstrip("/"): one.get("value", "") for one in study.get("identifier", ())}
    document: dict[str, Any] = {
        "protocol_no": identifiers.get(PROTOCOL, study["id"]),
        **({"nct_id": identifiers[NCT]} if NCT in identifiers else {}),
        "long_title": study.get("title", ""),
        "short_title": study.get("title", ""),
        "status": said(study["status"], STATUSES),
    }
    if "description" in study:
        document["summary"] = study["description"]
    arms = []
    for number, reference in enumerate((one.get("reference", "") for one in study.get("enrollment", ())), 1):
        one = group(reference)
        if one is None:
            raise Unmapped(reference, "the Group cannot be found")
        try:
            clause = say_clause(one, terminology)
        except Unmapped as error:
            raise error.within(reference) from None
        name = one.get("name") or one["id"]
        told: Resource = next((arm for arm in study.get("arm", ()) if arm.get("name") == name), {})
        arms.append(
            {
                "arm_code": name,
                "arm_description": told.get("description", ""),
                "arm_internal_id": number,
                "arm_suspended": "Y" if one.get("active") is False or _suspended(told) else "N",
                "dose_level": [],
                "match": clause,
            }
        )
    step = {"step_internal_id": 1, "step_code": "1", "step_type": "Registration", "arm": arms}
    return {**document, "treatment_list": {"step": [step]}}


def _suspended(arm: Resource) -> bool:
    said = (one.get("valueCode") for one in arm.get("extension", ()) if one.get("url") == ARM_STATUS)
    return any(status != "active" for status in said)
