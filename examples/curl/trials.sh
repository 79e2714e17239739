#!/usr/bin/env bash
# The trials that take participants, with their sponsors; then the eligibility of one: trials.sh [STUDY]
set -euo pipefail
source "$(dirname "$0")/fhir.sh"
fhir ResearchStudy --get \
  --data-urlencode 'status=active' \
  --data-urlencode '_elements=title,status,sponsor' \
  --data-urlencode '_include=ResearchStudy:sponsor'
fhir "Group/${1:-egfr-nsclc}-eligibility"
