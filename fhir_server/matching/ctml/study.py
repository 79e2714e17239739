"""What CTML says of a trial beside its criteria, as elements of ResearchStudy, and what was changed there, as CTML. https://hl7.org/fhir/R4/researchstudy.html"""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from fhir_server.fhir.codec import Resource
from fhir_server.matching.criteria import ARM_STATUS
from fhir_server.matching.ctml import words as w
from fhir_server.matching.ctml.levels import Level
from fhir_server.matching.ctml.words import Unmapped
from fhir_server.matching.values import OWN

NCT, PROTOCOL = "https://clinicaltrials.gov", f"{OWN}/NamingSystem/protocol-number"
PHASES = "http://terminology.hl7.org/CodeSystem/research-study-phase"
CLOSED = "temporarily-closed-to-accrual"
Document = Mapping[str, Any]


def study_id(document: Document) -> str:
    """The id of the trial's ResearchStudy, by its protocol or registry number. Raises Unmapped if it has none."""
    number = next((str(document[key]) for key in ("protocol_no", "nct_id", "trial_id") if document.get(key)), "")
    if not number.strip():
        raise Unmapped("protocol_no", "a trial needs protocol_no, nct_id or trial_id")
    plain = re.sub(r"[^A-Za-z0-9.-]", "-", number)[:40]
    return f"ctml-{plain}" if plain == number else f"ctml-{plain}-{hashlib.sha256(number.encode()).hexdigest()[:8]}"


def elements(document: Document, found: list[Level]) -> Resource:
    """The elements of ResearchStudy that a document speaks of; enrollment is added by trial.py. Raises Unmapped."""
    made: Resource = {name: make(document) for name, make in _ELEMENTS.items()}
    names = arm_names(found)
    made["arm"] = [_arm(level, names[level.arm]) for level in found if level.kind == "arm" and level.arm]
    return {name: value for name, value in made.items() if value}


def arm_names(found: list[Level]) -> dict[tuple[int, int], str]:
    """What each arm is called: its code, with the step where several arms have it."""
    names: dict[tuple[int, int], str] = {}
    for level in found:
        if level.kind == "arm" and level.arm is not None:
            name = str(level.body.get("arm_code") or level.body.get("arm_internal_id") or f"Arm {level.arm[1] + 1}")
            taken = name in names.values()
            names[level.arm] = f"{name} (step {level.arm[0] + 1}, arm {level.arm[1] + 1})" if taken else name
    return names


def _arm(level: Level, name: str) -> Resource:
    description = str(level.body.get("arm_description") or "")
    closed = [{"url": ARM_STATUS, "valueCode": CLOSED}] if level.suspended else []
    return {
        **({"extension": closed} if closed else {}),
        "name": name,
        **({"description": description} if description.strip() else {}),
    }


def _identifiers(document: Document) -> list[Resource]:
    found = [("nct_id", NCT), ("protocol_no", PROTOCOL), ("trial_id", NCT)]
    made = [{"system": s, "value": str(document[key])} for key, s in found if str(document.get(key) or "").strip()]
    return [one for number, one in enumerate(made) if one not in made[:number]]


def _title(document: Document) -> str:
    titles = (document.get(key) for key in ("long_title", "short_title", "protocol_no", "nct_id", "trial_id"))
    return next((str(title) for title in titles if title and str(title).strip()), "")


def status_word(document: Document) -> str:
    """The word for whether it recruits: of the summary, where MatchMiner looks, else of the trial."""
    summary = document.get("_summary")
    listed = summary.get("status") if isinstance(summary, Mapping) else None
    first = listed[0].get("value") if isinstance(listed, list) and listed and isinstance(listed[0], Mapping) else None
    return str(first or document.get("status") or "").strip() or "open to accrual"


def _status(document: Document) -> str:
    try:
        return str(w.chosen(status_word(document), w.STATUSES))
    except Unmapped as error:
        raise error.within("status") from None


def _description(document: Document) -> str:
    texts = (document.get(key) for key in ("summary", "nct_purpose"))
    return next((text for text in texts if isinstance(text, str) and text.strip()), "")


_NUMBERS = {"I": "1", "II": "2", "III": "3", "IV": "4"}


def _phase(document: Document) -> Resource:
    said = str(document.get("phase") or "").strip()
    parts = [part.strip() for part in re.split(r"[/,&-]|\bAND\b", said.upper().removeprefix("PHASE"))]
    code = "-".join(f"phase-{_NUMBERS.get(part, part)}" for part in parts)
    known = {f"phase-{n}" for n in "1234"} | {"phase-1-phase-2", "phase-2-phase-3"}
    coding = {"coding": [{"system": PHASES, "code": code}]} if code in known else {}
    return {**coding, "text": said} if said else {}


def _inner(document: Document, outer: str, inner: str, key: str) -> list[tuple[str, Mapping[str, Any]]]:
    holder = document.get(outer)
    listed = holder.get(inner) if isinstance(holder, Mapping) else None
    rows = [row for row in listed or () if isinstance(row, Mapping)]
    return [(str(row[key]), row) for row in rows if str(row.get(key) or "").strip()]


def _drugs(document: Document) -> list[Resource]:
    return [{"text": name} for name, _ in _inner(document, "drug_list", "drug", "drug_name")]


def _sponsor(document: Document) -> Resource:
    found = _inner(document, "sponsor_list", "sponsor", "sponsor_name")
    first = [name for name, row in found if str(row.get("is_principal_sponsor", "N")).upper() == "Y"]
    return {"display": first[0]} if first else {}


def _investigator(document: Document) -> Resource:
    name = str(document.get("principal_investigator") or "").strip()
    return {"display": name} if name else {}


def _sites(document: Document) -> list[Resource]:
    return [{"display": name} for name, _ in _inner(document, "site_list", "site", "site_name")]


def _notes(document: Document) -> list[Resource]:
    said = document.get("prior_treatment_requirements") or document.get("additional_criteria_requirements") or ()
    return [{"text": text} for text in said if isinstance(text, str) and text.strip()] if isinstance(said, list) else []


_ELEMENTS: dict[str, Callable[[Document], Any]] = {
    "identifier": _identifiers,
    "title": _title,
    "status": _status,
    "phase": _phase,
    "description": _description,
    "focus": _drugs,
    "sponsor": _sponsor,
    "principalInvestigator": _investigator,
    "site": _sites,
    "note": _notes,
}


def brought_up(document: dict[str, Any], found: list[Level], study: Resource) -> None:
    """Let a document say what the ResearchStudy says now. Raises Unmapped for a change that it cannot say."""
    was = elements(document, found)
    for name in (*_ELEMENTS, "arm"):
        now = study.get(name)
        if now == was.get(name):
            continue
        if name not in _CHANGED:
            raise Unmapped(f"ResearchStudy.{name}", "it was changed since the import, which is not exported")
        _CHANGED[name](document, found, now)
    if elements(document, found) != {k: v for k, v in study.items() if k in (*_ELEMENTS, "arm")}:
        raise Unmapped("ResearchStudy", "it says more than CTML can")


def _new_title(document: dict[str, Any], found: list[Level], now: Any) -> None:
    document["long_title"] = now or ""


def _new_status(document: dict[str, Any], found: list[Level], now: Any) -> None:
    word = w.said(now, w.STATUSES)
    document["status"] = word
    summary = document.get("_summary")
    if isinstance(summary, dict) and summary.get("status"):
        summary["status"][0]["value"] = word


def _new_description(document: dict[str, Any], found: list[Level], now: Any) -> None:
    document["summary"] = now or ""


def _new_phase(document: dict[str, Any], found: list[Level], now: Any) -> None:
    code = next((c.get("code", "") for c in (now or {}).get("coding", ())), "")
    document["phase"] = (now or {}).get("text") or "/".join(re.findall(r"\d", code))


def _new_notes(document: dict[str, Any], found: list[Level], now: Any) -> None:
    document["prior_treatment_requirements"] = [note.get("text", "") for note in now or ()]


def _new_arms(document: dict[str, Any], found: list[Level], now: Any) -> None:
    arms = [level for level in found if level.kind == "arm"]
    if len(now or ()) != len(arms):
        raise Unmapped("ResearchStudy.arm", "arms were added or removed since the trial was imported")
    names = arm_names(found)
    for level, arm in zip(arms, now, strict=True):
        assert level.arm is not None
        closed = any(e.get("url") == ARM_STATUS and e.get("valueCode") != "active" for e in arm.get("extension", ()))
        if closed != level.suspended:
            level.body["arm_suspended"] = "Y" if closed else "N"
        if arm.get("description", "") != str(level.body.get("arm_description") or ""):
            level.body["arm_description"] = arm.get("description", "")
        if arm.get("name") != names[level.arm]:
            level.body["arm_code"] = arm.get("name")


_CHANGED: dict[str, Callable[[dict[str, Any], list[Level], Any], None]] = {
    "title": _new_title,
    "status": _new_status,
    "description": _new_description,
    "phase": _new_phase,
    "note": _new_notes,
    "arm": _new_arms,
}
