"""The rows of R4's page on HTTP. https://hl7.org/fhir/R4/http.html"""

from tests.conformance.row import Row, no, partly, yes

HERE, WRITE, BUNDLE = "conformance/http_test.py::", "interactions/write_test.py::", "interactions/bundle_test.py::"
HEADERS, FORMATS, BAD = "rest/headers_test.py::", "rest/formats_test.py::", "rest/bad_input_test.py::"
ASYNC, SEARCH = "interactions/respond_async_test.py::", "interactions/search_test.py::"
RACES = "interactions/races_test.py::"
TERMINOLOGY = "operations/terminology_test.py::"
REFUSED = HERE + "test_what_is_not_supported_is_refused"
CLAIMS = "rest/capability_test.py::"

HTTP: dict[str, tuple[Row, ...]] = {
    "Style guide": (
        yes("`[base]/[type]/[id]`, ids of 1 to 64 letters, digits, `-`, `.`", BAD + "test_bad_requests_are_refused"),
        yes("addresses are absolute and those of the public base", HEADERS + "test_headers_of_a_write_and_a_read"),
        yes(
            "`meta.versionId`, `meta.lastUpdated`, ETag, Last-Modified",
            HEADERS + "test_headers_of_a_write_and_a_read",
            WRITE + "test_create_sets_id_and_meta_and_keeps_the_rest",
        ),
        yes("HEAD is GET without a body", HEADERS + "test_head_is_get_without_a_body", HERE + "test_head_of_a_search"),
        no("OPTIONS", REFUSED + "[OPTIONS]", note="the CapabilityStatement is at `metadata`"),
        yes(
            "statuses with an OperationOutcome: 400, 404, 405, 406, 412, 415, 422",
            BAD + "test_bad_requests_are_refused",
            BAD + "test_bad_bodies_are_refused_and_leave_no_trace",
            BAD + "test_bad_updates_are_refused",
        ),
        yes("410 for what was deleted", WRITE + "test_delete_twice_then_gone_then_back"),
        yes(
            "413 for what is too large",
            BAD + "test_a_body_over_the_limit_is_413",
            "interactions/bundles_test.py::test_a_bundle_of_too_many_entries_is_refused",
        ),
        yes("no request makes a 5xx", "fuzz/fuzz_test.py::test_nothing_sent_makes_the_server_fail"),
        no(
            "401, 403: authorization",
            "rest/settings_test.py::test_what_cannot_serve_is_refused",
            note="open on a loopback address only, until SMART on FHIR is in",
        ),
    ),
    "Formats": (
        yes(
            "`application/fhir+json`, `application/fhir+xml`, and their general names",
            FORMATS + "test_accept",
            FORMATS + "test_a_resource_written_as_xml_is_read_as_json_and_back",
        ),
        no("Turtle", REFUSED + "[Turtle]", note="406"),
        yes(
            "`_format` counts more than Accept",
            FORMATS + "test_format_counts_more_than_accept",
            HEADERS + "test_format_overrides_accept",
        ),
        yes("`_pretty`", FORMATS + "test_pretty"),
        yes("UTF-8 only", BAD + "test_bad_updates_are_refused"),
        partly(
            "`fhirVersion` of a MIME type",
            REFUSED + "[fhirVersion]",
            HERE + "test_the_version_of_fhir_may_be_named",
            note="4.0 is answered, others are 406 or 415",
        ),
        yes(
            "HTML for browsers",
            FORMATS + "test_html_shows_the_resource_with_links_to_this_server_only",
            FORMATS + "test_html_never_renders_what_is_stored",
        ),
        yes("gzip both ways", FORMATS + "test_large_answers_are_packed", FORMATS + "test_packed_requests_are_read"),
        yes("Binary as a resource", HERE + "test_a_binary_is_a_resource_like_any_other"),
        yes(
            "Binary in its own content type, read and written; `X-Security-Context`",
            HERE + "test_a_binary_is_read_as_its_own_bytes",
            HERE + "test_a_binary_is_written_as_its_own_bytes",
            HERE + "test_a_content_type_that_is_none_does_not_reach_a_header",
            REFUSED + "[raw Binary of another type]",
        ),
    ),
    "Headers": (
        yes("`Prefer: return=minimal`, `representation`, `OperationOutcome`", HEADERS + "test_prefer_return"),
        yes("`Prefer: handling=strict`, `lenient`", HEADERS + "test_prefer_handling"),
        partly(
            "`Prefer: respond-async`",
            ASYNC + "test_the_response_is_what_it_would_have_been_at_once",
            note="bundles; other requests are answered at once",
        ),
        yes(
            "`If-Match`, `If-None-Match`, `If-Modified-Since`, `If-None-Exist`",
            HEADERS + "test_conditional_read",
            WRITE + "test_update_creates_then_updates_then_vread_has_both",
            WRITE + "test_conditional_create",
        ),
        yes("`X-Request-Id`", HEADERS + "test_a_sound_request_id_is_kept_and_another_replaced"),
        no(
            "`X-Provenance`",
            HERE + "test_an_x_provenance_header_is_left_alone",
            note="ignored: send a transaction with the Provenance",
        ),
        no("`X-Forwarded-...`, `X-Intermediary`", note="ignored: the public base is a setting"),
    ),
    "Instance level": (
        yes(
            "read",
            CLAIMS + "test_every_interaction_claimed_works_on_odd_types",
            HEADERS + "test_headers_of_a_write_and_a_read",
        ),
        yes("read with `_summary`, `_elements`", SEARCH + "test_parts_of_resources"),
        yes("conditional read", HEADERS + "test_conditional_read"),
        yes(
            "vread, with `_summary`, `_elements`; 410 for a version that deleted",
            HERE + "test_vread_takes_summary_and_elements",
            WRITE + "test_delete_twice_then_gone_then_back",
        ),
        yes("update, which creates too", WRITE + "test_update_creates_then_updates_then_vread_has_both"),
        yes(
            "version-aware update",
            WRITE + "test_update_creates_then_updates_then_vread_has_both",
            RACES + "test_conditional_interactions_of_many_clients_over_two_processes",
        ),
        yes("updates that are refused leave no trace", BAD + "test_bad_updates_are_refused"),
        yes(
            "conditional update",
            WRITE + "test_conditional_update",
            RACES + "test_conditional_interactions_of_many_clients_over_two_processes",
        ),
        yes("patch: JSON Patch", WRITE + "test_patch", WRITE + "test_a_refused_patch_changes_nothing"),
        no("patch: XML Patch", HERE + "test_an_xml_patch_is_refused", note="415: XML is not how resources are stored"),
        yes(
            "patch: FHIRPath Patch, in JSON and XML",
            "operations/fhirpath_patch_test.py::test_over_http",
            FORMATS + "test_bundles_and_patches_in_xml",
        ),
        yes("conditional patch", WRITE + "test_conditional_patch_and_delete"),
        yes(
            "delete, twice too",
            WRITE + "test_delete_twice_then_gone_then_back",
            HERE + "test_a_deletion_answers_with_the_version_it_made",
        ),
        partly(
            "conditional delete",
            WRITE + "test_conditional_patch_and_delete",
            HERE + "test_a_conditional_delete_is_of_one_only",
            note="of a single match; several are 412",
        ),
        no(
            "deletion of versions",
            REFUSED + "[delete history]",
            note="not an interaction of R4; `$expunge` removes a resource with all versions",
        ),
    ),
    "Type level": (
        yes("create", WRITE + "test_create_sets_id_and_meta_and_keeps_the_rest"),
        yes(
            "conditional create",
            WRITE + "test_conditional_create",
            WRITE + "test_conditional_creates_at_the_same_time_make_one_resource",
        ),
        yes("search", SEARCH + "test_self_link_and_post_search_give_the_same", note="see above"),
        yes(
            "references are kept as sent, dangling ones too",
            HERE + "test_references_to_versions_and_fragments_are_kept",
            HERE + "test_a_dangling_reference_is_stored",
        ),
        yes("decimals keep their digits", WRITE + "test_what_is_sent_is_what_is_read"),
    ),
    "System level": (
        partly(
            "capabilities",
            CLAIMS + "test_every_search_parameter_of_every_type_is_answered",
            CLAIMS + "test_nothing_works_that_is_not_claimed",
            HERE + "test_modes_of_the_capability_statement_are_not_told_apart",
            note="`mode` is ignored: the answer is the full one",
        ),
        yes("batch: entries stand alone", BUNDLE + "test_batch_entries_stand_alone"),
        yes(
            "transaction: all or nothing",
            BUNDLE + "test_a_transaction_with_one_bad_entry_changes_nothing",
            "crash/crash_test.py::test_a_killed_server_loses_nothing",
            "crash/crash_test.py::test_a_killed_mongod_loses_nothing",
        ),
        yes(
            "order DELETE, POST, PUT or PATCH, GET",
            BUNDLE + "test_order_is_delete_post_put_get_and_answers_keep_theirs",
        ),
        yes(
            "a resource that two entries write is 400", BUNDLE + "test_a_transaction_with_one_bad_entry_changes_nothing"
        ),
        yes(
            "references to entries are rewritten, in narratives too",
            BUNDLE + "test_references_to_entries_are_rewritten_everywhere",
            BUNDLE + "test_addresses_of_another_server_are_rewritten_too",
        ),
        yes("conditional references", BUNDLE + "test_conditional_references"),
        yes(
            "conditional create, update, delete in a transaction",
            BUNDLE + "test_conditional_create_in_a_transaction_is_what_others_refer_to",
            BUNDLE + "test_conditional_update_and_delete_in_a_transaction",
        ),
        yes("PATCH entries: Binary with a JSON Patch, or Parameters", BUNDLE + "test_patch_in_a_bundle"),
        yes(
            "GET entries: read, search, history; search by POST too",
            HERE + "test_history_and_search_are_entries_of_bundles",
            BUNDLE + "test_a_search_by_post_is_a_read_in_a_bundle",
        ),
        yes(
            "operations as entries",
            "operations/table_test.py::test_operations_are_entries_of_a_batch_and_reading_ones_of_a_transaction",
            note="in a transaction those that read",
        ),
        no(
            "`resolve-as-version-specific`",
            HERE + "test_a_transaction_that_refers_to_a_version_gets_no_version",
            note="references become ones to the resource",
        ),
        yes("other Bundles are 400", BUNDLE + "test_other_bundles_are_refused"),
        yes(
            "asynchronous pattern: 202, status, result, cancellation",
            ASYNC + "test_the_response_is_what_it_would_have_been_at_once",
            ASYNC + "test_delete_forgets_and_others_see_nothing",
            ASYNC + "test_a_job_survives_the_death_of_its_server",
        ),
    ),
    "History": (
        yes("history of an instance, a type, all; newest first, paged", SEARCH + "test_history_pages_newest_first"),
        yes("`_count`", SEARCH + "test_history_pages_newest_first", HERE + "test_a_history_can_be_counted_only"),
        yes("`_since`", SEARCH + "test_history_pages_newest_first"),
        yes(
            "`_at`",
            HERE + "test_a_history_at_a_time_is_what_was_current_then",
            "store/contract_test.py::test_history_at_a_time_is_what_was_current_then",
            REFUSED + "[_at of nonsense]",
        ),
        no("`_list`", REFUSED + "[_list of a history]", note="400: read the List, then the histories it names"),
    ),
    "Operations": (
        yes(
            "`$name` of system, type and instance; GET where nothing changes; Parameters, a resource or a query",
            "operations/table_test.py::test_wrong_addresses_methods_and_types",
            CLAIMS + "test_every_operation_claimed_works",
        ),
        yes("`Patient/$everything`", "operations/everything_test.py::test_a_record_and_what_it_refers_to"),
        yes(
            "`$validate` with `mode` and `profile`",
            "operations/validate_test.py::test_what_would_be_accepted",
            "operations/validate_test.py::test_a_profile_that_is_not_known_is_an_error",
            "operations/profiles_test.py::test_what_profiles_say",
            "operations/profiles_test.py::test_claims_are_checked_wherever_they_stand",
            "validation/profiles_test.py::test_published_examples_meet_what_they_claim",
            "validation/profiles_test.py::test_what_is_wrong_is_found_where_it_is",
        ),
        yes(
            "`$meta`, `$meta-add`, `$meta-delete`",
            "operations/meta_test.py::test_labels_are_added_and_taken_away_in_new_versions",
        ),
        yes("`Observation/$lastn`", "operations/lastn_test.py::test_groups_and_their_order"),
        yes(
            "genomics operations of Genomics Reporting 3.0.0: `$find-subject-...`, `$find-population-...`, "
            "`$find-study-metadata`",
            "genomics/find_test.py::test_the_operations_about_a_patient",
            "genomics/population_test.py::test_counts_of_patients",
            "genomics/published_test.py::test_the_answer_is_the_published_one",
        ),
        yes("`Patient/$match`", "operations/match_test.py::test_the_same_person_from_two_systems"),
        yes(
            "CodeSystem `$lookup`, `$subsumes`, `$validate-code`",
            TERMINOLOGY + "test_what_is_known_of_a_code",
            TERMINOLOGY + "test_subsumption",
            TERMINOLOGY + "test_codes_of_a_code_system",
        ),
        partly(
            "ValueSet `$expand`, `$validate-code`",
            TERMINOLOGY + "test_expansions",
            TERMINOLOGY + "test_what_cannot_be_expanded",
            TERMINOLOGY + "test_too_much_at_once_is_refused_and_read_by_the_page",
            TERMINOLOGY + "test_codes_of_a_value_set",
            note="no regular expressions, no `context`; more than 25,000 codes at once are refused",
        ),
        partly(
            "ConceptMap `$translate`",
            TERMINOLOGY + "test_translations",
            note="no `dependency`: mappings that depend on other values are left out",
        ),
        yes("`$closure`", TERMINOLOGY + "test_a_closure_table_grows"),
        no(
            "CodeSystem `$find-matches`",
            "operations/table_test.py::test_wrong_addresses_methods_and_types",
            note="404, as any name that is no operation here",
        ),
        yes(
            "ours: `$reindex`, `$expunge`",
            "operations/reindex_test.py::test_one_type_at_a_time",
            "operations/expunge_test.py::test_a_record",
        ),
    ),
}
