"""The checklist of handlers.translation (reference peers.md, section 8), box by box: each box names the tests that prove it.

A box is a row; its tests are functions anywhere below tests/. What a box says is shortened, never widened. A box without a test,
or with one that does not exist any more, fails here.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parents[2]
BOXES = {"8.1": 15, "8.2": 8, "8.3": 5, "8.4": 8, "8.5": 8, "8.6": 9, "8.7": 10, "8.8": 9}
"""How many boxes, rows or invariants each part of the section has."""


class Box(NamedTuple):
    """One box."""

    part: str
    says: str
    tests: str
    """Names of functions, apart by spaces."""


CHECKLIST = (
    # OpenAI chat -> Anthropic Messages
    Box("8.1", "the mandatory max_tokens", "test_the_mandatory_output_cap_comes_from_the_client_or_the_catalogue"),
    Box("8.1", "system and developer hoisted, cache marks kept, blanks dropped", "test_system_and_developer_messages_are_hoisted_in_order_with_their_cache_marks_and_blanks_dropped"),
    Box("8.1", "neighbours merged, the user first", "test_neighbours_of_one_role_are_merged_and_the_user_begins"),
    Box("8.1", "all results in one user message; missing ones refused", "test_all_results_of_one_turn_go_into_one_user_message_before_any_text test_a_call_without_its_result_is_refused_by_name"),
    Box("8.1", "arguments: text to object, empty, invalid", "test_arguments_become_objects_and_broken_ones_are_wrapped"),
    Box("8.1", "blank text is no block", "test_blank_text_never_becomes_a_block_and_empty_results_stay_empty"),
    Box("8.1", "tool_choice and parallel calls", "test_tool_choices test_one_call_at_a_time"),
    Box("8.1", "tool names, reversibly", "test_tool_names_outside_the_alphabet_are_renamed_and_come_back"),
    Box("8.1", "images and PDFs", "test_images_and_documents_keep_their_form"),
    Box("8.1", "structured output, native or by a hidden tool", "test_structured_output_is_native_where_there_is_such_a_thing test_structured_output_is_a_forced_tool_elsewhere_and_the_client_never_sees_it test_a_schema_beside_tools_is_refused_where_it_would_need_the_forced_tool"),
    Box("8.1", "sampling and thinking by model", "test_sampling_is_dropped_where_the_model_takes_none_and_named test_thinking_has_a_budget_below_the_cap_or_an_effort test_a_models_own_quirks_stand_beside_its_providers"),
    Box("8.1", "no prefill in newer models", "test_without_its_quirk_a_provider_would_get_something_else"),
    Box("8.1", "thinking and signatures byte exact", "test_thinking_and_signatures_make_the_round_trip_byte_for_byte test_proofs_of_another_maker_are_not_sent"),
    Box("8.1", "anthropic-beta by provider", "test_betas_that_keep_something_are_held_back"),
    Box("8.1", "large answers streamed upstream and aggregated", "test_a_whole_answer_may_be_asked_for_as_a_stream"),
    # Anthropic -> OpenAI
    Box("8.2", "stop reasons and the native word", "test_stop_reasons_and_the_native_word"),
    Box("8.2", "cache in the usage, priced by class", "test_cached_tokens_are_added_to_the_prompt_and_writes_keep_their_price_class"),
    Box("8.2", "cumulative output counts", "test_output_counts_are_cumulative_not_deltas"),
    Box("8.2", "call indices count calls", "test_call_indices_count_calls_only_and_later_pieces_carry_arguments_only"),
    Box("8.2", "a tool without input ends as {}", "test_a_stream_says_what_was_meant test_a_whole_answer_says_what_was_meant"),
    Box("8.2", "pings, error events, overload", "test_pings_say_nothing_and_an_error_event_ends_with_an_error"),
    Box("8.2", "an empty balance is a credential's failure", "test_an_empty_balance_is_not_the_clients_fault"),
    Box("8.2", "several texts and citations", "test_several_texts_and_citations_are_joined_in_order"),
    # Emulated Anthropic Messages
    Box("8.3", "input tokens from the start", "test_the_prompt_size_is_estimated_first_and_corrected_at_the_end"),
    Box("8.3", "order of events", "test_blocks_never_overlap_and_indices_grow_even_if_upstream_interleaves"),
    Box("8.3", "count_tokens for every model", "test_tokens_are_estimated_everywhere_else_and_the_answer_says_so test_tokens_can_be_counted"),
    Box("8.3", "errors in Anthropic's shape", "test_errors_in_the_stream_have_anthropics_shape test_an_anthropic_client_gets_anthropic_errors"),
    Box("8.3", "system, stops, thinking, server tools: accepted or refused", "test_system_stops_user_and_thinking_are_understood test_what_only_anthropic_runs_is_refused_by_name test_optimisations_that_others_lack_are_dropped_and_named"),
    # Gemini and Vertex
    Box("8.4", "roles, system, results in one turn", "test_roles_system_and_results_in_one_turn"),
    Box("8.4", "finish reasons, broken calls, blocked prompts", "test_a_stop_with_a_call_is_a_tool_call_and_ids_never_collide test_calls_that_cannot_be_made_are_failures test_filtered_answers test_a_blocked_prompt_comes_without_candidates"),
    Box("8.4", "thoughtSignature", "test_thought_signatures_make_the_round_trip_through_openais_chat test_calls_of_another_model_get_the_documented_dummy test_a_signature_makes_the_round_trip_to_the_call_it_belongs_to"),
    Box("8.4", "schemas cleaned", "test_schemas_are_cleaned_for_functions_and_answers test_a_function_without_parameters_declares_none test_references_in_function_responses_do_not_reach_the_provider_as_schema test_whatever_a_client_calls_a_schema_google_gets_one"),
    Box("8.4", "calls without ids", "test_calls_without_ids_find_their_results_by_name_and_order"),
    Box("8.4", "usage: thoughts, cache, the last one counts", "test_usage_adds_thoughts_subtracts_cache_and_takes_the_last"),
    Box("8.4", "the key in a header", "test_the_model_stands_in_the_path_and_no_key_does test_constant_schemes"),
    Box("8.4", "JSON beside tools; budget or level", "test_json_beside_tools_is_refused_where_the_model_excludes_it test_thinking_by_budget_or_by_level"),
    # Bedrock Converse
    Box("8.5", "SigV4 on exact bytes; regions", "test_signatures_equal_those_of_botocore test_the_body_is_part_of_the_signature test_bedrock_takes_its_region_from_the_host test_the_model_is_quoted_into_the_path"),
    Box("8.5", "toolConfig where the history has calls", "test_a_history_with_calls_needs_its_tools_even_if_the_client_sends_none"),
    Box("8.5", "tool results", "test_tool_results_are_never_empty_and_ids_fit"),
    Box("8.5", "event stream, exceptions inside it", "test_exceptions_come_inside_the_stream test_an_exception_in_the_stream_has_its_class"),
    Box("8.5", "usage without cache, after the stop", "test_usage_comes_after_the_stop_reason_and_excludes_cache"),
    Box("8.5", "cachePoint, inputSchema, additional fields", "test_cache_points_stand_after_what_they_cover test_what_converse_has_no_word_for_goes_into_additional_fields test_requests_obey_amazons_own_service_model"),
    Box("8.5", "long silence inside arguments", "test_a_silent_call_completes_through_a_proxy_that_cuts_silence test_a_stream_that_loses_its_meaning_ends_when_its_time_is_up test_bedrocks_clock_outlasts_its_silence"),
    Box("8.5", "counting where the model cannot", "test_tokens_are_estimated_everywhere_else_and_the_answer_says_so"),
    # OpenAI, Azure, the vendors of China
    Box("8.6", "OpenAI: usage, caps, parameters, unknown fields, no nulls", "test_usage_is_always_asked_for_and_shown_only_to_those_who_want_it test_the_output_cap_goes_by_the_name_that_the_model_knows test_parameters_a_model_refuses_are_dropped_by_its_row_and_named test_unknown_fields_pass_and_nulls_do_not"),
    Box("8.6", "the Responses bridge", "test_responses_become_one_choice_whatever_the_number_of_items test_incomplete_responses_are_billed_and_told test_encrypted_reasoning_goes_back_to_its_maker_only"),
    Box("8.6", "Azure's chunks and filter", "test_azures_first_and_last_chunks_are_smoothed test_a_content_filter_400_is_a_policy_violation"),
    Box("8.6", "DeepSeek's reasoning and blank lines", "test_reasoning_goes_back_where_it_must_and_stays_out_where_it_must_not test_blank_lines_before_the_first_byte_are_no_answer"),
    Box("8.6", "DashScope's deltas and controls", "test_dashscopes_empty_ids_and_names_are_absent_ones test_the_control_of_reasoning_in_each_providers_words"),
    Box("8.6", "MiniMax's errors in successes", "test_minimax_hides_errors_in_successes test_a_base_resp_that_reports_success_is_none"),
    Box("8.6", "Zhipu's usage and finish reasons", "test_usage_in_odd_places_is_found test_finish_reasons_of_others"),
    Box("8.6", "Ark, Moonshot, Hunyuan, SiliconFlow", "test_the_control_of_reasoning_in_each_providers_words test_cached_and_reasoning_tokens_in_each_providers_words test_moonshots_empty_account_is_not_a_wrong_key"),
    Box("8.6", "everything that is almost compatible", "test_every_way_of_being_almost_compatible_is_read"),
    # Errors and statuses
    Box("8.7", "400 input, context", "test_an_error_answer_is_classified_with_its_patience test_what_is_not_the_endpoints_fault_never_opens_it"),
    Box("8.7", "balance", "test_an_empty_balance_is_not_the_clients_fault test_quarantine_ends_by_itself"),
    Box("8.7", "401 and 403", "test_a74_a_dead_byok_key_concerns_nobody_else test_a57_an_error_that_quotes_credential_and_prompt_quotes_nothing"),
    Box("8.7", "404 model", "test_every_failure_class_has_its_status_and_its_consequences"),
    Box("8.7", "timeouts", "test_every_fault_is_hidden_where_it_can_be_and_told_where_it_cannot test_every_failure_class_has_its_status_and_its_consequences"),
    Box("8.7", "429 with patience", "test_patience test_a83_cool_down_follows_retry_after_within_bounds"),
    Box("8.7", "500 to 529", "test_bodies_that_say_nothing_leave_the_status test_a_breaker_opens_and_closes_through_a_probe"),
    Box("8.7", "content filter", "test_a_content_filter_400_is_a_policy_violation test_every_failure_class_has_its_status_and_its_consequences"),
    Box("8.7", "cut stream", "test_a_stream_that_breaks_ends_with_an_error_and_never_with_done test_truncation_before_content_says_nothing_and_after_it_says_error"),
    Box("8.7", "our own outage", "test_c66_without_the_database_known_keys_are_served_and_unknown_ones_are_never_told_401"),
    # Invariants of a stream
    Box("8.8", "the first event decides", "test_only_content_is_semantic test_a_fault_after_the_first_event_ends_in_an_error_event"),
    Box("8.8", "one terminal sequence", "test_laws_3_4_5_events_are_in_order test_a_transport_failure_ends_like_a_truncation_and_only_once"),
    Box("8.8", "one finish reason for each choice", "test_one_finish_reason_for_each_choice"),
    Box("8.8", "arguments reassemble", "test_law_1_any_splitting_gives_the_same_events test_a_stream_says_what_was_meant"),
    Box("8.8", "usage equals the ledger", "test_a_folder_of_recordings_is_played_judged_and_billed test_usage_is_known_wherever_it_was_recorded"),
    Box("8.8", "signs of life", "test_a_silent_call_completes_through_a_proxy_that_cuts_silence"),
    Box("8.8", "a client that leaves cancels", "test_a71_a_client_that_leaves_cancels_the_provider_within_a_second_and_pays_what_was_produced"),
    Box("8.8", "back-pressure", "test_back_pressure_reaches_the_upstream_and_silence_is_not_held_against_it test_a_slow_gateway_slows_the_upstream_down_and_loses_nothing"),
    Box("8.8", "no buffering, no compression", "test_a_stream_is_neither_buffered_nor_compressed_on_its_way"),
)  # fmt: skip


@cache
def functions() -> frozenset[str]:
    """The names of all test functions."""
    return frozenset(
        node.name
        for path in TESTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


@pytest.mark.parametrize("box", CHECKLIST, ids=lambda box: f"{box.part} {box.says}")
def test_every_box_has_tests_that_exist(box: Box) -> None:
    named = box.tests.split()
    assert named
    assert set(named) <= functions()


def test_no_box_is_missing() -> None:
    assert {part: sum(box.part == part for box in CHECKLIST) for part in BOXES} == BOXES
