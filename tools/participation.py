"""Our own profiles, as what each says beyond its base: the source of profiles/participation (build_profiles.py).

What is required is what the network cannot do without. Codes that need a licence are not listed: bindings to them are
extensible, or a rule names the code systems.
"""

from typing import NamedTuple

from tools.elements import (
    CATEGORY,
    CONSENT_SCOPE,
    HOME,
    LOINC,
    ONCOTREE,
    OURS,
    SECTION,
    UCUM,
    US_CORE,
    Json,
    bound,
    code,
    component,
    el,
    extended,
    must,
    musts,
    sliced,
    targets,
)


class Profile(NamedTuple):
    """A profile: its name (file and URL), title, type, what it is for, and its elements beyond the base."""

    name: str
    title: str
    type: str
    about: str
    elements: tuple[Json, ...]


GENETIC = (
    must("Observation.status"),
    sliced("Observation.category", "pattern", "$this", min=1),
    must("Observation.category:laboratory", min=1, max="1", patternCodeableConcept=code(CATEGORY, "laboratory")),
    must("Observation.subject", min=1, type=targets("Patient")),
    *musts("Observation.effective[x]", "Observation.specimen"),
)

PROFILES = (
    Profile(
        "participant",
        "Participant",
        "Patient",
        "Someone who takes part, or may. Race and ethnicity have the shapes of US Core 6.1 to 9.0; neither is "
        "required.",
        (
            sliced("Patient.extension", "value", "url"),
            *extended(
                "race",
                US_CORE + "us-core-race",
                ("ombCategory", "6", "Coding"),
                ("detailed", "*", "Coding"),
                ("text", "1", "string"),
            ),
            *extended(
                "ethnicity",
                US_CORE + "us-core-ethnicity",
                ("ombCategory", "1", "Coding"),
                ("detailed", "*", "Coding"),
                ("text", "1", "string"),
            ),
            must("Patient.identifier", min=1),
            el("Patient.identifier.system", min=1),
            el("Patient.identifier.value", min=1),
            *musts("Patient.name", "Patient.telecom", "Patient.gender"),
            *musts("Patient.birthDate", "Patient.address", "Patient.communication"),
        ),
    ),
    Profile(
        "participation-consent",
        "Consent of a participant",
        "Consent",
        "What a participant permits or denies: per purpose, recipient and class of data.",
        (
            must("Consent.status"),
            must(
                "Consent.scope",
                rules=(
                    (
                        "pc-1",
                        "The scope is research or patient-privacy",
                        f"coding.where(system = '{CONSENT_SCOPE}' and (code = 'research' or code = 'patient-privacy'))"
                        ".exists()",
                    ),
                ),
            ),
            must("Consent.category"),
            must("Consent.patient", min=1),
            must("Consent.dateTime", min=1),
            *musts("Consent.performer", "Consent.organization", "Consent.policy"),
            *musts("Consent.verification"),
            must(
                "Consent.provision",
                rules=(
                    ("pc-2", "What is permitted or denied is said by its type", "provision.exists() or type.exists()"),
                ),
            ),
            *musts("Consent.provision.purpose", "Consent.provision.period", "Consent.provision.provision"),
        ),
    ),
    Profile(
        "biobank-specimen",
        "Specimen of a biobank",
        "Specimen",
        "A sample, the parent it was made from, how it is kept and whether it is there, as MIABIS on FHIR asks; "
        "SPREC where known.",
        (
            sliced("Specimen.extension", "value", "url"),
            must("Specimen.extension:sprec", max="1", type=[{"code": "Extension", "profile": [OURS + "sprec"]}]),
            must("Specimen.identifier", min=1),
            el("Specimen.identifier.value", min=1),
            must("Specimen.status", min=1),
            must("Specimen.type", min=1),
            must("Specimen.subject", min=1, type=targets("Patient")),
            *musts("Specimen.parent", "Specimen.collection", "Specimen.collection.collected[x]"),
            *musts("Specimen.collection.bodySite", "Specimen.processing", "Specimen.processing.time[x]"),
            sliced("Specimen.processing.extension", "value", "url"),
            must(
                "Specimen.processing.extension:storageTemperature",
                max="1",
                type=[{"code": "Extension", "profile": [OURS + "storage-temperature"]}],
            ),
            *musts("Specimen.container", "Specimen.container.identifier"),
        ),
    ),
    Profile(
        "specimen-shipment",
        "Shipment of specimens",
        "Task",
        "A parcel with specimens on its way between two organizations.",
        (
            must("Task.code", min=1, patternCodeableConcept=code(f"{HOME}/CodeSystem/task-code", "ship-specimens")),
            must("Task.status"),
            must("Task.requester", min=1),
            must("Task.owner", min=1),
            must("Task.executionPeriod"),
            must("Task.input", min=1),
            el("Task.input.value[x]", type=targets("Specimen")),
        ),
    ),
    Profile(
        "tumour-condition",
        "Tumour",
        "Condition",
        "A tumour, coded by OncoTree or by a code system that maps to it.",
        (
            *musts("Condition.clinicalStatus", "Condition.verificationStatus"),
            must(
                "Condition.code",
                min=1,
                rules=(
                    (
                        "tc-1",
                        "A code of OncoTree, SNOMED CT, ICD-10, ICD-10-CM or NCI Thesaurus is there",
                        "coding.where(system = 'http://oncotree.mskcc.org' or system = 'http://snomed.info/sct' or "
                        "system = 'http://hl7.org/fhir/sid/icd-10' or system = 'http://hl7.org/fhir/sid/icd-10-cm' or "
                        "system = 'http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl').exists()",
                    ),
                ),
            ),
            sliced("Condition.code.coding", "value", "system"),
            must("Condition.code.coding:oncotree", max="1"),
            el("Condition.code.coding:oncotree.system", min=1, fixedUri=ONCOTREE),
            el("Condition.code.coding:oncotree.code", min=1),
            must("Condition.bodySite"),
            must("Condition.subject", type=targets("Patient")),
            *musts("Condition.onset[x]", "Condition.recordedDate", "Condition.stage"),
        ),
    ),
    Profile(
        "genomic-variant",
        "Genomic variant",
        "Observation",
        "A variant that was found, or not, as Genomics Reporting STU2, STU3 and mCODE write it.",
        (
            el(
                "Observation",
                rules=(
                    (
                        "gv-1",
                        "A variant that is present has a gene, a change or a place in the genome",
                        "value.ofType(CodeableConcept).coding.where(code = 'LA9633-4').empty() or "
                        "component.where(code.coding.where("
                        "code = '48018-6' or code = '48004-6' or code = '48005-3' or code = '81290-9' or "
                        "code = '81254-5' or code = '81252-9').exists()).exists()",
                    ),
                ),
            ),
            *GENETIC,
            must("Observation.code", patternCodeableConcept=code(LOINC, "69548-6")),
            must("Observation.value[x]", type=[{"code": "CodeableConcept"}]),
            must("Observation.method"),
            sliced("Observation.component", "pattern", "code"),
            *component("gene-studied", "48018-6", "CodeableConcept"),
            *component("coding-hgvs", "48004-6", "CodeableConcept", max="1"),
            *component("protein-hgvs", "48005-3", "CodeableConcept", max="1"),
            *component("genomic-hgvs", "81290-9", "CodeableConcept", max="1"),
            *component("reference-sequence-assembly", "62374-4", "CodeableConcept"),
            *component("exact-start-end", "81254-5", "Range", max="1"),
            *component("ref-allele", "69547-8", "string", max="1"),
            *component("alt-allele", "69551-0", "string", max="1"),
            *component("genomic-source-class", "48002-0", "CodeableConcept", max="1"),
            *component("sample-allelic-frequency", "81258-6", "Quantity", max="1"),
            *component("variation-code", "81252-9", "CodeableConcept"),
        ),
    ),
    Profile(
        "genomic-report",
        "Genomic report",
        "DiagnosticReport",
        "The report of a tumour profile, as Genomics Reporting STU2, STU3 and mCODE write it.",
        (
            must("DiagnosticReport.status"),
            sliced("DiagnosticReport.category", "pattern", "$this", min=1),
            must("DiagnosticReport.category:genetics", min=1, max="1", patternCodeableConcept=code(SECTION, "GE")),
            must("DiagnosticReport.code", binding=bound("genomic-report-code")),
            must("DiagnosticReport.subject", min=1, type=targets("Patient")),
            *musts("DiagnosticReport.effective[x]", "DiagnosticReport.issued", "DiagnosticReport.performer"),
            *musts("DiagnosticReport.specimen", "DiagnosticReport.result", "DiagnosticReport.conclusion"),
        ),
    ),
    Profile(
        "tumour-mutational-burden",
        "Tumour mutational burden",
        "Observation",
        "Mutations per megabase of a tumour.",
        (
            *GENETIC,
            must("Observation.code", patternCodeableConcept=code(LOINC, "94076-7")),
            must("Observation.value[x]", type=[{"code": "Quantity"}]),
            el("Observation.value[x].system", min=1, fixedUri=UCUM),
            el("Observation.value[x].code", min=1, fixedCode="1/1000000{Base}"),
        ),
    ),
    Profile(
        "microsatellite-instability",
        "Microsatellite instability",
        "Observation",
        "Whether the microsatellites of a tumour are stable.",
        (
            *GENETIC,
            must("Observation.code", patternCodeableConcept=code(LOINC, "81695-9")),
            must(
                "Observation.value[x]",
                type=[{"code": "CodeableConcept"}],
                binding=bound("microsatellite-instability", "extensible"),
            ),
        ),
    ),
    Profile(
        "recruiting-study",
        "Study that recruits",
        "ResearchStudy",
        "A trial with structured eligibility and someone to ask.",
        (
            must("ResearchStudy.identifier", min=1),
            must("ResearchStudy.title", min=1),
            *musts("ResearchStudy.status", "ResearchStudy.phase", "ResearchStudy.condition"),
            must("ResearchStudy.contact", min=1),
            must("ResearchStudy.enrollment", min=1, type=targets("Group")),
            *musts("ResearchStudy.period", "ResearchStudy.sponsor", "ResearchStudy.site"),
            *musts("ResearchStudy.arm"),
        ),
    ),
    Profile(
        "eligibility",
        "Eligibility criteria",
        "Group",
        "Who a study takes: a Group that describes people and names none.",
        (
            must("Group.type", fixedCode="person"),
            must("Group.actual", fixedBoolean=False),
            must("Group.characteristic", min=1),
            *musts("Group.characteristic.code", "Group.characteristic.value[x]", "Group.characteristic.exclude"),
            el("Group.member", max="0"),
        ),
    ),
    Profile(
        "trial-candidate",
        "Candidate for a trial",
        "ResearchSubject",
        "Someone who may fit a study, or takes part in it.",
        (
            *musts("ResearchSubject.status", "ResearchSubject.study"),
            must("ResearchSubject.individual", type=targets("Patient")),
            *musts("ResearchSubject.consent", "ResearchSubject.assignedArm"),
        ),
    ),
    Profile(
        "match-explanation",
        "Explanation of a match",
        "GuidanceResponse",
        "Why someone fits a study or does not, criterion by criterion, in contained Parameters.",
        (
            must("GuidanceResponse.module[x]", type=[{"code": "uri"}]),
            must("GuidanceResponse.status"),
            must("GuidanceResponse.subject", min=1, type=targets("Patient")),
            must("GuidanceResponse.occurrenceDateTime", min=1),
            must("GuidanceResponse.performer", min=1, type=targets("Device")),
            must("GuidanceResponse.outputParameters", min=1),
        ),
    ),
    Profile(
        "contact-request",
        "Request to contact a participant",
        "Task",
        "A study team asks that a candidate be contacted; the owner does so, or says why not.",
        (
            must(
                "Task.code", min=1, patternCodeableConcept=code(f"{HOME}/CodeSystem/task-code", "contact-participant")
            ),
            must("Task.status"),
            must("Task.intent", fixedCode="order"),
            must("Task.focus", min=1, type=targets("ResearchSubject")),
            must("Task.for", min=1, type=targets("Patient")),
            must("Task.requester", min=1),
            *musts("Task.owner", "Task.statusReason"),
        ),
    ),
)

# Extensions of our own: name, title, where they may stand, type of the value, more of the value.
EXTENSIONS: tuple[tuple[str, str, str, str, Json], ...] = (
    (
        "storage-temperature",
        "Temperature at which a specimen is kept",
        "Specimen.processing",
        "Coding",
        {"binding": bound("storage-temperature")},
    ),
    (
        "sprec",
        "Standard PREanalytical Code of a specimen: seven elements",
        "Specimen",
        "string",
        {
            "rules": (
                ("sprec-1", "Seven elements with - between them", "matches('^[A-Z0-9]{1,3}(-[A-Z0-9]{1,3}){6}$')"),
            )
        },
    ),
)
