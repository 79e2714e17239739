#!/usr/bin/env bash
# The candidates of a trial, then why one of them fits: candidates.sh [STUDY] [PATIENT]
# Run `fhir-server match` first. Each criterion is met, not met or unknown, with the evidence and the version it was read in.
set -euo pipefail
source "$(dirname "$0")/fhir.sh"
fhir ResearchSubject --get \
  --data-urlencode "study=ResearchStudy/${1:-egfr-nsclc}" \
  --data-urlencode 'status=candidate,potential-candidate' \
  --data-urlencode '_include=ResearchSubject:individual' \
  --data-urlencode '_count=5'
fhir GuidanceResponse --get --data-urlencode "subject=Patient/${2:-p0001}"
