#!/usr/bin/env bash
# Chains both ways: how many plasma aliquots are left of people with lung adenocarcinoma, and who of the young has ECOG 0.
set -euo pipefail
source "$(dirname "$0")/fhir.sh"
fhir Specimen --get \
  --data-urlencode 'type=http://terminology.hl7.org/CodeSystem/v2-0487|PLAS' \
  --data-urlencode 'status=available' \
  --data-urlencode 'patient:Patient._has:Condition:patient:code=http://oncotree.mskcc.org|LUAD' \
  --data-urlencode '_summary=count'
fhir Observation --get \
  --data-urlencode 'code=http://loinc.org|89247-1' \
  --data-urlencode 'subject:Patient.birthdate=ge2000-01-01' \
  --data-urlencode '_elements=subject,valueInteger' \
  --data-urlencode '_count=5'
