#!/usr/bin/env bash
# A new patient with diagnosis and consent, all or nothing; urn:uuid references become ids. Running it again creates nothing.
set -euo pipefail
source "$(dirname "$0")/fhir.sh"
here=$(dirname "$0")
fhir '' --request POST --header 'Content-Type: application/fhir+json' --data "@${1:-$here/../bundles/new-patient.json}"
