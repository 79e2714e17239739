# ruff: noqa: E501 - one row to a line
"""What SMART App Launch 2.2 and its suites ask of an authorization server: the list S-1 to S-55, as far as programs see it."""

from tests.conformance.row import Row, partly, yes

FOUND = "auth/discovery_test.py::"
TOKEN = "auth/token_endpoint_test.py::"
FORGED = "auth/forged_test.py::"
TOLD = "auth/introspection_test.py::"
KEYS = "auth/jwks_test.py::"
SERVICE = "auth/backend_test.py::"
ISSUERS = "auth/issuers_test.py::"
RIGHTS = "access/rights_test.py::"
ISOLATION = "access/isolation_test.py::test_hidden_is_removed"


def refusals(*cases: str) -> tuple[str, ...]:
    """Cases of the table of requests that are refused."""
    return tuple(f"{TOKEN}test_an_attack_is_refused[{case}]" for case in cases)


def forgeries(*cases: str) -> tuple[str, ...]:
    """Cases of the table of assertions that are refused."""
    return tuple(f"{FORGED}test_a_forgery_is_refused[{case}]" for case in cases)


SMART: dict[str, tuple[Row, ...]] = {
    "Discovery": (
        yes("S-1, S-2 smart-configuration, whatever Accept says", FOUND + "test_the_configuration_is_json_whatever_is_asked_for"),
        yes("S-3, S-4 capabilities", FOUND + "test_all_capabilities_of_the_certification_are_claimed"),
        yes("S-5 methods, algorithms, scopes", FOUND + "test_every_scope_that_is_listed_can_be_held"),
        yes(
            "S-6 CORS: what everyone may know for any origin, the rest for registered ones, preflight",
            FOUND + "test_any_page_may_read_what_everyone_may_know",
            FOUND + "test_only_pages_of_registered_apps_may_call",
            FOUND + "test_a_preflight_is_answered_without_a_token",
        ),
        yes("S-7 oauth-uris in the CapabilityStatement", FOUND + "test_the_statement_says_the_same"),
        yes("S-8 at the origin root too", FOUND + "test_the_configuration_is_json_whatever_is_asked_for"),
        yes(
            "S-9 OpenID configuration and keys",
            FOUND + "test_openid_configuration_lies_below_the_issuer",
            FOUND + "test_published_keys_check_what_we_sign_and_hold_no_secret",
        ),
        yes("S-53 keys are published before they sign, and kept after", FOUND + "test_keys_are_renewed_before_they_are_needed_and_kept_after"),
        yes("S-54 TLS, or this machine, or an explicit setting", "rest/settings_test.py::test_what_cannot_serve_is_refused", "rest/settings_test.py::test_tokens_travel_over_tls_or_stay_on_this_machine"),
    ),
    "Token endpoint": (
        yes("S-19 forms only, else 400 invalid_request", *refusals("JSON body", "no content type", "multipart body", "form in the address")),
        yes("S-20 answer and headers", SERVICE + "test_a_service_gets_a_token_for_its_signature"),
        yes(
            "S-22 invalid_client, with WWW-Authenticate after Basic",
            TOKEN + "test_basic_is_told_to_try_basic",
            *refusals("symmetric client by a wrong secret", "no client"),
        ),
        yes("S-25 unknown parameters are ignored", TOKEN + "test_unknown_parameters_are_ignored"),
        yes("S-39 a token of another base, or in the address, is refused", ISSUERS + "test_a_token_that_is_not_to_be_believed_stands_for_nothing[audience another base]", TOLD + "test_a_token_in_the_address_is_refused", RIGHTS + "test_without_a_sound_token_only_the_capabilities_are_told"),
    ),
    "Scopes on the FHIR API": (
        yes("S-32 letters and interactions; criteria take s", RIGHTS + "test_each_interaction_takes_its_letters"),
        yes("S-33 batch and transaction: each entry by its own interaction", RIGHTS + "test_what_is_written_must_be_the_callers_before_and_after"),
        yes("S-34, S-35 granular scopes filter every read", RIGHTS + "test_granular_scopes_are_a_union_and_hold_everywhere", ISOLATION),
        yes("S-36 scopes add up; what cannot be enforced is not granted", RIGHTS + "test_granular_scopes_are_a_union_and_hold_everywhere", "access/scopes_test.py::test_what_is_no_scope_or_cannot_be_enforced_is_not_read"),
        yes("S-37 401, 403 and their challenges", RIGHTS + "test_without_a_sound_token_only_the_capabilities_are_told", RIGHTS + "test_scopes_without_somebody_behind_them_permit_nothing"),
        yes("S-38 a patient's token: the compartment, and what belongs to nobody", RIGHTS + "test_a_patients_app_sees_the_patient_and_what_belongs_to_nobody", ISOLATION),
    ),
    "Introspection, revocation, registration": (
        yes("S-40 what is said of a token that lives, and of any other", TOLD + "test_a_token_is_described_to_its_client", TOLD + "test_what_is_no_token_of_the_client_is_not_active"),
        yes("S-41 who may ask, and how often", TOLD + "test_strangers_learn_nothing", TOLD + "test_guessing_is_stopped_after_a_few"),
        partly(
            "S-42 revocation, in every process within a second",
            TOLD + "test_a_client_withdraws_its_own_tokens_only",
            TOLD + "test_revoking_what_is_none_succeeds",
            "auth/withdrawn_test.py::test_a_withdrawal_reaches_another_process_within_a_second",
            note="access tokens",
        ),
        yes("RFC 7591 registration, to read only", "auth/registration_test.py::test_it_may_read_at_most", "auth/registration_test.py::test_it_never_acts_on_its_own"),
    ),
    "Backend Services": (
        yes("S-30 a token of at most 300 s, no refresh token", SERVICE + "test_a_service_gets_a_token_for_its_signature", "rest/settings_test.py::test_what_cannot_serve_is_refused"),
        yes("S-43 what is missing or wrong, unsupported_grant_type", FORGED + "test_a_wrong_assertion_type_is_refused", *refusals("grant_type unknown", "grant_type absent")),
        yes("S-44 claims", SERVICE + "test_an_audience_may_be_a_list", *forgeries("iss of another", "aud of another server", "typ absent", "jti absent")),
        yes("S-45 algorithms, pinned to the key", *forgeries("alg none", "HS384 with the public key", "ES384 naming an RSA key", "key meant for another algorithm")),
        yes("S-46 times", *forgeries("exp absent", "exp past", "exp in ten minutes", "nbf in the future", "iat in the future")),
        yes("S-47 an assertion counts once, in all processes, and after a restart", "auth/replay_test.py::test_one_of_many_is_accepted_and_none_after_a_restart"),
        yes("S-48 jku, and exactly one key", *forgeries("jku elsewhere", "kid unknown"), KEYS + "test_a_set_without_exactly_one_fitting_key_proves_nothing"),
        yes(
            "S-49 key sets by address and inline; from public addresses, within bounds, as long as they may be kept",
            KEYS + "test_no_key_set_is_fetched_from_inside",
            KEYS + "test_a_bad_answer_is_no_key_set",
            KEYS + "test_a_set_is_kept_no_longer_than_it_may_be",
            KEYS + "test_a_new_key_is_found_but_random_kids_do_not_make_us_ask",
        ),
        yes("S-50, S-51 scopes are narrowed; invalid_scope if nothing is left", TOKEN + "test_what_may_not_be_granted_is_left_out", *refusals("scope absent", "scope launch fhirUser", "scope of an unknown type", "scope to write, for who reads")),
        yes("S-52 no shared secrets", *refusals("client_credentials of a symmetric client"), "cli/client_test.py::test_a_client_that_may_not_be_is_refused"),
    ),
}  # fmt: skip
