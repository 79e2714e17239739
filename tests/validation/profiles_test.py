"""Verdicts on the published examples by the profiles they claim, and on examples that were made wrong in one place. https://hl7.org/fhir/R4/profiling.html"""

from collections import Counter
from pathlib import Path

import pytest

from tests.deep import deep
from tests.validation.guides import examples, guides
from tests.validation.mutants import mutants

# Published examples that do not meet the profiles they claim, each with the line of the specification that says so.
REFUSED = {
    "Observation-tnm-pathologic-distant-metastases-category-jenny-m.json": (
        "Observation.value.ofType(CodeableConcept)",
        "http://hl7.org/fhir/us/mcode/ValueSet/mcode-tnm-distant-metastases-category-max-vs, the maximal value set of "
        "Observation.value[x], holds codes of SNOMED CT and of cancerstaging.org: `not-applicable` of "
        "data-absent-reason is none of them",
    ),
}
ENOUGH = 0.99  # of the mutants


@pytest.mark.parametrize("folder", ["genomics-reporting-stu3", "mcode-stu4", "r4-core-examples"])
def test_published_examples_meet_what_they_claim(shared: Path, folder: str) -> None:
    known, seen, wrong = guides(shared), 0, {}
    for name, resource in examples(shared, folder).items():
        seen += 1
        if errors := known.errors(resource):
            wrong[name] = {place for issue in errors for place in issue.expression}
    assert seen >= 10
    assert wrong == {name: {REFUSED[name][0]} for name in wrong if name in REFUSED}
    assert {name for name in REFUSED if name in examples(shared, folder)} == set(wrong)


def test_what_is_wrong_is_found_where_it_is(shared: Path) -> None:
    """Every fifth mutant, all of them in deep tests."""
    known, number = guides(shared), 0
    found: Counter[str] = Counter()
    missed = []
    for name, resource in examples(shared, "genomics-reporting-stu3", "mcode-stu4").items():
        if name in REFUSED or known.errors(resource):
            continue
        for url in resource.get("meta", {}).get("profile", ()):
            profile = known.profile(url)
            for mutant in mutants(resource, profile, known.library) if profile else ():
                number += 1
                if number % deep(5, 1):
                    continue
                places = [place for issue in known.errors(mutant.resource) for place in issue.expression]
                if any(
                    place == mutant.place or place.startswith((f"{mutant.place}.", f"{mutant.place}["))
                    for place in places
                ):
                    found[mutant.kind] += 1
                else:
                    missed.append((name, mutant.kind, mutant.place))
    total = found.total() + len(missed)
    assert total > 300
    assert set(found) == {"cardinality", "type", "target", "binding", "pattern", "slicing", "invariant"}
    assert found.total() / total >= ENOUGH, missed
