"""Every exception as a status, headers and an OperationOutcome: the one place. https://hl7.org/fhir/R4/http.html#Status-Codes"""

import logging
import traceback

from fhir_server.fhir.codec import encode
from fhir_server.fhir.outcome import FhirError, operation_outcome, refuse
from fhir_server.interactions.refusal import EXPECTED, refusal
from fhir_server.store.seam import StoreError

log = logging.getLogger("fhir_server")


def told(error: Exception, request_id: str) -> FhirError:
    """What the client is told. An exception that nobody foresaw is logged, without its message: that may hold data."""
    if isinstance(error, EXPECTED):
        return refusal(error)
    if isinstance(error, StoreError):
        log.error("request %s: the store failed: %s", request_id, error)
        return refuse(503, "transient", "The store cannot be used at the moment.", Retry_After="5")
    log.error("request %s failed: %s\n%s", request_id, type(error).__name__, frames(error))
    return refuse(500, "exception", f"The server failed; its log has more under request {request_id}.")


def frames(error: BaseException) -> str:
    """Where an exception came from: files, lines and functions, but no values."""
    found = traceback.extract_tb(error.__traceback__)
    return "\n".join(f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in found)


def outcome_body(error: FhirError) -> bytes:
    """The OperationOutcome of a refusal; text that cannot be UTF-8 (lone surrogates of a URL) is replaced."""
    try:
        return encode(operation_outcome(error.issues))
    except UnicodeEncodeError:
        clean = [issue.diagnostics.encode("utf-8", "replace").decode() for issue in error.issues]
        issues = [{"severity": "error", "code": "invalid", "diagnostics": text} for text in clean]
        return encode({"resourceType": "OperationOutcome", "issue": issues})
