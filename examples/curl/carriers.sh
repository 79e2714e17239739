#!/usr/bin/env bash
# Who carries a variant of a gene, with the patients included: carriers.sh [HGNC id]  (default KRAS)
# The three tests meet in one Observation; a region studied or a negative result names the gene too, and is not found.
set -euo pipefail
source "$(dirname "$0")/fhir.sh"
fhir Observation --get \
  --data-urlencode 'code=http://loinc.org|69548-6' \
  --data-urlencode 'value-concept=http://loinc.org|LA9633-4' \
  --data-urlencode "component-value-concept=http://www.genenames.org|${1:-HGNC:6407}" \
  --data-urlencode '_include=Observation:patient' \
  --data-urlencode '_count=5'
