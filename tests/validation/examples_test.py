"""Published examples: all are accepted but those listed here, and each of these breaks R4 itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.fhir.codec import decode
from fhir_server.fhir.definitions import load
from fhir_server.fhir.outcome import FhirError
from fhir_server.validation.structure import validator

validate = validator(load())
EMPTY_DIV = "its narrative has neither text nor an image (invariant txt-2)"
EMPTY_ID = "an id has 1 to 64 characters, and a string at least one"
# What is refused, as file and the first expression, and the rule of R4 that it breaks.
REFUSED = {
    ("r4-core-examples/ActivityDefinition-blood-tubes-supply.json", "ActivityDefinition.text.div"): EMPTY_DIV,
    ("r4-core-examples/ActivityDefinition-heart-valve-replacement.json", "ActivityDefinition.text.div"): EMPTY_DIV,
    ("r4-core-examples/EventDefinition-example.json", "EventDefinition.text.div"): EMPTY_DIV,
    ("r4-core-examples/Questionnaire-zika-virus-exposure-assessment.json", "Questionnaire.text.div"): EMPTY_DIV,
    ("r4-core-examples/DeviceMetric-example.json", "DeviceMetric.parent.reference"): (
        "DeviceMetric.parent is Reference(Device), and the example refers to a DeviceDefinition"
    ),
    ("r4-core-examples/DeviceUseStatement-example.json", "DeviceUseStatement.reasonReference[0].reference"): (
        "DeviceUseStatement.reasonReference does not refer to a Procedure, as the example does"
    ),
    ("genomics-operations/find_study_metadata/3.json",
     "Parameters.parameter[1].part[1].value.ofType(CodeableConcept).coding[0].code"): "a code begins with no space",
    ("vcf/expected_example1_with_patient.json", "DiagnosticReport.id"): EMPTY_ID,
    ("vcf/expected_example1_wo_patient.json", "DiagnosticReport.id"): EMPTY_ID,
    ("vcf/expected_example3.json", "DiagnosticReport.id"): EMPTY_ID,
    ("vcf/expected_example4.json", "DiagnosticReport.id"): EMPTY_ID,
}  # fmt: skip
FOLDERS = (
    "r4-core-examples", "genomics-reporting-stu3", "mcode-stu4", "us-core-examples", "synthea-r4-transactions",
    "genomics-operations", "vcf", "bulk-10-patients",
)  # fmt: skip


def resources(folder: Path) -> Iterator[tuple[str, Any]]:
    """The resources of a folder of JSON and NDJSON files, with the name of the file."""
    for path in sorted(folder.rglob("*json")):
        name = str(path.relative_to(folder.parent))
        texts = path.read_bytes().splitlines() if path.suffix == ".ndjson" else [path.read_bytes()]
        for resource in map(decode, texts):
            if isinstance(resource, dict) and "resourceType" in resource:
                yield name, resource


@pytest.mark.parametrize("folder", FOLDERS)
def test_published_examples(shared: Path, folder: str) -> None:
    refused = set()
    count = 0
    for name, resource in resources(shared / "data" / folder):
        count += 1
        try:
            validate(resource)
        except FhirError as error:
            refused.add((name, error.issues[0].expression[0]))
    assert count > 3
    assert refused == {key for key in REFUSED if key[0].startswith(f"{folder}/")}
