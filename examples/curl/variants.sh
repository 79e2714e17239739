#!/usr/bin/env bash
# The variants found in one patient, newest report first: variants.sh [PATIENT]
set -euo pipefail
source "$(dirname "$0")/fhir.sh"
fhir Observation --get \
  --data-urlencode "patient=${1:-p0001}" \
  --data-urlencode 'code=http://loinc.org|69548-6' \
  --data-urlencode 'value-concept=http://loinc.org|LA9633-4' \
  --data-urlencode '_sort=-date'
