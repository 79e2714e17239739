"""What SMART App Launch 2.2 and its suites ask of launches, consent and the tokens of apps: the rest of S-1 to S-55."""

from tests.conformance.row import Row, yes

ASK = "auth/authorize_test.py::"
CODE = "auth/code_test.py::"
AGAIN = "auth/refresh_test.py::"
EHR = "auth/launch_test.py::"
PAGE = "auth/pages_test.py::"


def never(*cases: str) -> tuple[str, ...]:
    """Requests that are answered by a page and never by a redirect."""
    return tuple(f"{ASK}test_never_a_redirect[{case}]" for case in cases)


def told(*cases: str) -> tuple[str, ...]:
    """Requests about which the app is told."""
    return tuple(f"{ASK}test_the_app_is_told_with_state_and_issuer[{case}]" for case in cases)


def kept(*cases: str) -> tuple[str, ...]:
    """Ways in which a code is not redeemed."""
    return tuple(f"{CODE}test_a_code_is_not_redeemed[{case}]" for case in cases)


APPS: dict[str, tuple[Row, ...]] = {
    "Authorization endpoint and consent": (
        yes("S-10 GET and POST", ASK + "test_a_participant_consents_and_the_app_gets_a_code"),
        yes(
            "S-11 aud is this FHIR base, at most with a slash more",
            *told("no aud", "aud elsewhere", "aud with more path", "aud with two slashes"),
        ),
        yes(
            "S-12 an unknown client or redirect URI gets a page; the port of a native app is free",
            *never("unknown client", "no redirect_uri", "trailing slash", "path traversal", "fragment"),
            ASK + "test_a_native_app_may_listen_on_any_port",
        ),
        yes("S-13 PKCE with S256, always", *told("no challenge", "plain by name", "plain by default")),
        yes(
            "S-14 a code for a minute, once, bound to client, redirect URI, challenge, aud; the state as it was",
            CODE + "test_a_code_is_good_for_a_minute",
            CODE + "test_a_code_is_for_one_fhir_base",
            ASK + "test_a_request_is_answered_once",
            *kept("another client", "another redirect_uri of the client"),
        ),
        yes(
            "S-15 errors of the RFC, with state and issuer",
            *told("implicit", "unknown scopes", "system scopes"),
            ASK + "test_refusing_says_access_denied",
        ),
        yes(
            "S-16 an EHR launch: once, for five minutes, for one app and person",
            EHR + "test_a_launch_is_used_once",
            EHR + "test_a_launch_is_good_for_five_minutes",
            EHR + "test_a_launch_is_for_one_app",
            EHR + "test_a_launch_for_somebody_goes_on_with_nobody_else",
        ),
        yes(
            "S-17 consent to each scope, and to parts of it",
            ASK + "test_each_scope_can_be_removed_and_split",
            ASK + "test_nothing_beyond_what_was_asked_can_be_granted",
        ),
        yes(
            "S-18 no patient scope without a patient",
            ASK + "test_without_a_patient_there_is_no_patient_scope",
            ASK + "test_a_clinician_picks_a_patient",
            ASK + "test_a_representative_opens_the_one_record_and_no_other",
        ),
        yes("S-55 people list and withdraw what they allowed", PAGE + "test_my_apps_lists_and_withdraws"),
    ),
    "Tokens of apps": (
        yes("S-20 answer and headers", CODE + "test_the_answer_has_what_smart_wants"),
        yes(
            "S-21 patient, encounter, intent, banner and style",
            EHR + "test_the_app_is_opened_with_patient_visit_and_intent",
            note="fhirContext is not given: there is none yet",
        ),
        yes("S-22 a bad code is 400 invalid_grant", *kept("another code")),
        yes(
            "S-23 the verifier absent, blank, wrong or equal to the challenge",
            *kept("no verifier", "blank verifier", "wrong verifier"),
            CODE + "test_the_challenge_is_no_verifier",
        ),
        yes(
            "S-24 a code that comes again ends what it brought",
            CODE + "test_a_code_that_comes_again_ends_what_it_brought",
            CODE + "test_of_many_at_once_none_is_left_with_a_token",
        ),
        yes("S-26 the id token", CODE + "test_the_id_token_says_who"),
        yes(
            "S-27 refreshing, with less or the same",
            AGAIN + "test_a_refresh_gives_new_tokens",
            AGAIN + "test_less_may_be_asked_for",
            AGAIN + "test_more_may_not",
            AGAIN + "test_another_client_has_no_use_for_it",
        ),
        yes(
            "S-28 rotation, grace and the end of a family; 90 days from each use",
            AGAIN + "test_reuse_ends_the_family",
            AGAIN + "test_a_lost_answer_may_be_asked_for_again_for_ten_seconds",
            AGAIN + "test_offline_access_lasts_ninety_days_from_each_use",
        ),
        yes(
            "S-29 online access ends with the session, offline access does not",
            AGAIN + "test_online_access_ends_with_signing_out",
            AGAIN + "test_online_access_ends_with_the_session",
        ),
        yes("S-31 old scopes are returned as they were asked", ASK + "test_old_scopes_are_returned_as_they_were_asked"),
        yes(
            "S-42 revoking a refresh token ends its access tokens",
            AGAIN + "test_revoking_a_refresh_token_ends_its_access_tokens",
        ),
        yes(
            "unmodified client libraries: PyPI and npm fhirclient",
            "auth/libraries_test.py::test_the_client_of_pypi_completes_a_standalone_launch",
            "auth/libraries_test.py::test_the_client_of_npm_completes_a_standalone_launch",
        ),
    ),
}
