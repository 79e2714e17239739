#!/usr/bin/env bash
# Read one patient: read.sh [ID]
set -euo pipefail
source "$(dirname "$0")/fhir.sh"
fhir "Patient/${1:-p0001}"
