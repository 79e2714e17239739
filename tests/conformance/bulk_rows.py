"""What Bulk Data 2.0, 3.0 and the ballot of 4.0 and their suites ask of a server: the list B-1 to B-32."""

from tests.conformance.row import Row, yes

KICK = "export/kick_off_test.py::"
RIGHTS = "export/rights_test.py::"
SNAPSHOT = "export/snapshot_test.py::"
FILES = "export/files_test.py::"
RESUME = "export/resume_test.py::"
CHAIN = "export/consent_chain_test.py::"
COHORT = "export/cohort_test.py::"
BRING = "export/bring_test.py::"
BLOCKS = "export/blocks_test.py::"
BUCKET = "export/bucket_test.py::"
MANIFEST = "export/manifest_test.py::"
REFUSED = "test_what_is_refused"
TAKEN = "test_parameters_that_are_taken"

# ruff: noqa: E501 - one row to a line

BULK: dict[str, tuple[Row, ...]] = {
    "Kick-off": (
        yes(
            "B-1 the three levels, GET and POST: 202 with an absolute `Content-Location`",
            KICK + "test_the_three_levels_by_get_and_post",
            KICK + "test_the_answers_of_a_kick_off_and_a_status",
        ),
        yes("B-2 no token or a bad one is 401", RIGHTS + "test_no_token_no_export_no_file"),
        yes("B-3 `Accept` and `Prefer: respond-async` are demanded", KICK + "test_an_export_needs_both_headers"),
        yes("B-4 `_outputFormat`", KICK + TAKEN, KICK + REFUSED),
        yes("B-5 `_since`, `_until`", KICK + TAKEN, KICK + REFUSED, SNAPSHOT + "test_deleted_is_what_the_client_had"),
        yes("B-6 `_type`", KICK + TAKEN, KICK + REFUSED, KICK + "test_a_lenient_client_is_told_what_was_ignored"),
        yes("B-7 `_elements`, SUBSETTED", KICK + "test_elements_and_the_tag"),
        yes("B-8 `_typeFilter`", KICK + "test_filters_of_one_type_add_up", KICK + REFUSED),
        yes("B-9 `includeAssociatedData`, Provenance", KICK + "test_what_is_about_the_exported"),
        yes("B-10 `patient`", KICK + "test_some_patients_only", KICK + "test_patients_that_are_refused"),
        yes(
            "B-11 `organizeOutputBy`",
            BLOCKS + "test_a_block_is_a_person_whole",
            BLOCKS + "test_a_block_that_does_not_fit_goes_on_in_the_next_file",
            BLOCKS + "test_blocks_obey_scopes_and_consent",
            note="by Patient",
        ),
        yes(
            "B-12 `allowPartialManifests`",
            MANIFEST + "test_files_are_given_while_others_are_written",
            MANIFEST + "test_pages_hold_everything_once",
        ),
        yes("B-13 unknown parameters", KICK + REFUSED, KICK + "test_a_lenient_client_is_told_what_was_ignored"),
        yes(
            "B-14 429 for too many exports; a Group that is hidden or absent is 404",
            FILES + "test_a_client_may_have_so_many_and_polls_so_often",
            RIGHTS + "test_a_group_that_is_hidden_is_answered_like_none",
        ),
        yes(
            "B-15 attachments",
            RIGHTS + "test_attachments_have_addresses_that_the_same_token_reads",
            note="Binary itself is exported at the system's level",
        ),
        yes(
            "B-16 `separate-export-status`; the manifest of version 4 at `$export-v4`",
            MANIFEST + "test_how_it_stands_told_apart",
            MANIFEST + "test_the_manifest_of_version_4",
            note="a ballot so far",
        ),
    ),
    "Status": (
        yes("B-17 `X-Progress`, `Retry-After`", KICK + "test_the_answers_of_a_kick_off_and_a_status"),
        yes("B-18 the first answer is 202", KICK + "test_the_answers_of_a_kick_off_and_a_status"),
        yes("B-19 the manifest, `Expires`", KICK + "test_the_answers_of_a_kick_off_and_a_status"),
        yes(
            "B-20 `deleted` with `_since`",
            SNAPSHOT + "test_deleted_is_what_the_client_had",
            SNAPSHOT + "test_a_chain_of_exports_rebuilds_the_store",
            CHAIN + "test_what_is_permitted_since_comes_whole_and_what_is_hidden_since_is_deleted",
            CHAIN + "test_what_a_report_makes_genomic_is_deleted_where_that_is_denied",
            CHAIN + "test_a_chain_of_exports_is_what_is_permitted",
        ),
        yes(
            "B-21 transactionTime is a point below which no transaction is open",
            SNAPSHOT + "test_a_transaction_held_open_across_the_kick_off_is_whole_or_absent",
            SNAPSHOT + "test_what_changes_while_the_files_are_written_is_exported_as_it_was",
            SNAPSHOT + "test_a_chain_of_exports_rebuilds_the_store",
        ),
        yes("B-22 an export that failed", FILES + "test_an_export_that_cannot_be_written_says_so"),
        yes("B-23 429 for impatience", FILES + "test_a_client_may_have_so_many_and_polls_so_often"),
        yes(
            "B-24 JSON in any form, for the client that asked alone",
            KICK + "test_the_answers_of_a_kick_off_and_a_status",
            RIGHTS + "test_an_export_is_its_clients_own",
        ),
        yes(
            "an export outlives its process, with the same manifest",
            RESUME + "test_kill_9_at_any_time_leaves_the_same_manifest",
            SNAPSHOT + "test_many_batches_of_patients_hold_everything_once",
        ),
        yes("clients take turns", FILES + "test_an_export_gives_way_to_another_client"),
    ),
    "Files": (
        yes("B-25 NDJSON of one type, `application/fhir+ndjson`", KICK + "test_the_three_levels_by_get_and_post"),
        yes(
            "B-26 requiresAccessToken, scopes of the type",
            RIGHTS + "test_no_token_no_export_no_file",
            RIGHTS + "test_an_export_is_its_clients_own",
        ),
        yes(
            "B-27 gzip and ranges; 307 to object storage",
            FILES + "test_gzip_ranges_and_what_a_client_holds",
            BUCKET + "test_files_are_read_where_they_are_kept",
            BUCKET + "test_consent_is_asked_before_an_address_is_given",
        ),
        yes(
            "B-28 the latest version only, once",
            SNAPSHOT + "test_what_changes_while_the_files_are_written_is_exported_as_it_was",
        ),
    ),
    "Deletion and statement": (
        yes(
            "B-29 DELETE is 202, then 404 for status and files",
            FILES + "test_files_go_with_their_export",
            FILES + "test_files_are_removed_when_they_expire",
            BUCKET + "test_what_has_expired_is_swept",
        ),
        yes("B-30 `instantiates`, operations under both names", "operations/table_test.py::test_every_operation_is_claimed_where_it_is"),
        yes("B-31 a Group's patients exactly, and what belongs to them", KICK + "test_the_three_levels_by_get_and_post"),
        yes("B-32 a Group takes read on it", RIGHTS + "test_a_group_takes_the_right_to_read_it"),
        yes(
            "Groups by `member-filter` and by criteria",
            COHORT + "test_a_group_of_searches",
            COHORT + "test_what_cannot_be_looked_up_is_refused",
            COHORT + "test_a_group_of_criteria_holds_who_meets_them_and_permits_it",
            COHORT + "test_research_exports_cohorts_by_what_it_may_see_of_people",
        ),
        yes(
            "`$import` of SMART's manifest",
            BRING + "test_files_come_from_where_the_operator_says",
            BRING + "test_nothing_is_read_from_elsewhere",
            BRING + "test_one_fetched_file_is_on_the_disk_at_a_time",
            BRING + "test_it_takes_the_right_to_write_what_is_brought",
            BRING + "test_kill_9_at_any_time_loses_and_doubles_nothing",
        ),
        yes("an unmodified client gets a Group, with and without authorization", "export/client_test.py::test_smart_fetch_gets_a_group"),
    ),
}  # fmt: skip
