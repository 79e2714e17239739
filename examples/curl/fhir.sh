# Sourced by the other scripts: `fhir PATH [curl options]` calls the server and shows the JSON indented.
# FHIR_BASE names another server, FHIR_TOKEN an access token.
FHIR_BASE=${FHIR_BASE:-http://127.0.0.1:8080/fhir}

fhir() {
  local path=$1
  shift
  curl --silent --show-error --fail-with-body \
    --header 'Accept: application/fhir+json' ${FHIR_TOKEN:+--header "Authorization: Bearer $FHIR_TOKEN"} \
    "$@" "$FHIR_BASE/$path" | python3 -m json.tool --no-ensure-ascii
}
