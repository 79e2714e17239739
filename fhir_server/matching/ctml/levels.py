"""Where a CTML trial may hold a match clause: the trial, its steps, their arms, their dose levels. See docs/ctml.md"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fhir_server.matching.ctml.words import Unmapped

# The keys of each level, as MatchMiner's and UHN's tools write them. What is not here is refused.
TRIAL = frozenset({
    "_id", "_created", "_updated", "_etag", "_elasticsearch", "_summary", "_suspended",
    "additional_criteria_requirements", "age", "cancer_center_accrual_goal_lower", "cancer_center_accrual_goal_upper",
    "cancer_center_current_accrual", "curated_on", "data_table4", "disease_site_list", "drug_list", "last_updated",
    "long_title", "management_group_list", "match", "nct_id", "nct_purpose", "oncology_group_list", "phase",
    "principal_investigator", "principal_investigator_institution", "prior_treatment_requirements",
    "program_area_list", "protocol_id", "protocol_ids", "protocol_no", "protocol_target_accrual", "protocol_type",
    "protocol_version_date", "protocol_version_no", "short_title", "site_list", "sponsor_list", "staff_list",
    "status", "summary", "treatment_list", "trial_id", "trial_internal_id"
})  # fmt: skip
STEP = frozenset({
    "arm", "match", "step_code", "step_description", "step_internal_id", "step_type"
})  # fmt: skip
ARM = frozenset({
    "arm_additional_criteria_not_captured", "arm_code", "arm_description", "arm_eligibility", "arm_info",
    "arm_internal_id", "arm_suspended", "arm_type", "dose_level", "drugs", "match", "uuid"
})  # fmt: skip
LEVEL = frozenset({
    "level_code", "level_description", "level_internal_id", "level_suspended", "match"
})  # fmt: skip


class Level(NamedTuple):
    """A level: its path in the document, the body there, the place (step, arm) if it is in an arm, what is above."""

    kind: str  # trial, step, arm or dose
    path: str
    tail: str  # of the id of its Group
    body: dict[str, Any]
    arm: tuple[int, int] | None = None
    above: "Level | None" = None

    @property
    def chain(self) -> Iterator["Level"]:
        """It and what lies above it, nearest first."""
        level: Level | None = self
        while level is not None:
            yield level
            level = level.above

    @property
    def suspended(self) -> bool:
        """Whether the level itself is closed."""
        flag = {"arm": "arm_suspended", "dose": "level_suspended"}.get(self.kind, "")
        return str(self.body.get(flag, "N")).strip().lower() == "y"


def levels(document: dict[str, Any], problems: list[Unmapped]) -> list[Level]:
    """Every level of a document, each after the one above it; keys that cannot be mapped are added to `problems`."""
    found = [Level("trial", "", "t", document)]
    _known(found[0], TRIAL, problems)
    steps = _listed(document.get("treatment_list"), "step", "treatment_list", problems)
    for s, (path, step) in enumerate(steps):
        of_step = Level("step", path, f"s{s + 1}", step, None, found[0])
        found.append(of_step)
        _known(of_step, STEP, problems)
        for a, (arm_path, arm) in enumerate(_listed(step, "arm", path, problems)):
            of_arm = Level("arm", arm_path, f"s{s + 1}a{a + 1}", arm, (s, a), of_step)
            found.append(of_arm)
            _known(of_arm, ARM, problems)
            for d, (dose_path, dose) in enumerate(_listed(arm, "dose_level", arm_path, problems)):
                found.append(Level("dose", dose_path, f"s{s + 1}a{a + 1}d{d + 1}", dose, (s, a), of_arm))
                _known(found[-1], LEVEL, problems)
    return found


def _known(level: Level, keys: frozenset[str], problems: list[Unmapped]) -> None:
    for key in level.body.keys() - keys:
        problems.append(Unmapped(key, "it is no key that can be mapped").within(level.path))


def _listed(holder: Any, key: str, path: str, problems: list[Unmapped]) -> list[tuple[str, dict[str, Any]]]:
    where = f"{path}.{key}"
    found = holder.get(key) if isinstance(holder, Mapping) else holder
    if isinstance(holder, Mapping) and path == "treatment_list":
        for other in holder.keys() - {key}:
            problems.append(Unmapped(f"{path}.{other}", "it is no key that can be mapped"))
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        problems.append(Unmapped(where, "it is not a list of objects"))
        return []
    return [(f"{where}[{number}]", one) for number, one in enumerate(found)]


def ways(found: list[Level]) -> Iterator[Level]:
    """The levels that have none below them: the ways into a trial."""
    above = {id(level.above) for level in found}
    return (level for level in found if id(level) not in above)
