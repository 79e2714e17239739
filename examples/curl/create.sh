#!/usr/bin/env bash
# Record an ECOG of 1 for a patient, once: running it again finds the one that is there. create.sh [PATIENT]
set -euo pipefail
source "$(dirname "$0")/fhir.sh"
patient=${1:-p0001}
fhir Observation --request POST \
  --header 'Content-Type: application/fhir+json' \
  --header "If-None-Exist: identifier=https://participation.example/result|$patient-ecog-by-hand" \
  --header 'Prefer: return=representation' \
  --data @- <<EOF
{
  "resourceType": "Observation",
  "identifier": [{"system": "https://participation.example/result", "value": "$patient-ecog-by-hand"}],
  "status": "final",
  "code": {"coding": [{"system": "http://loinc.org", "code": "89247-1"}]},
  "subject": {"reference": "Patient/$patient"},
  "effectiveDateTime": "2026-01-15",
  "valueInteger": 1
}
EOF
