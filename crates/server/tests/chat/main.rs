//! Chats as their clients meet them: over real connections, with an agent that is played through the real downlink.
//!
//! What went wrong in a system that did this before, and which test here keeps it from going wrong:
//! 1, 2. every socket had other sessions' events: `nothing_of_another_session_ever_reaches_a_socket_also_before_the_first_reply`
//! 3. a second message before the first reply lost one: `two_messages_before_the_first_reply_both_get_theirs_in_order`
//! 4. lag ended a socket or was skipped: `a_socket_that_is_far_behind_gets_everything_in_order`
//! 5. no place, resume, ping or error: `a_frame_that_is_wrong_is_told_and_the_socket_stays`, `a_silent_peer_is_pinged_and_then_cut`
//! 6, 15. a turn whose viewer left was not saved: `a_viewer_who_leaves_takes_nothing_with_them`
//! 7. what a message is about was lost on one of two ways: `what_a_message_is_about_comes_back_by_both_ways`
//! 8. the history of tools was invented: `the_end_of_a_turn_tells_what_its_tools_did`
//! 10. texts were logged, and had no limit on the socket: `no_text_is_ever_logged`, `a_text_has_its_limit_on_both_ways`
//! 11. any page could open it, and tokens stood in URLs: `a_foreign_page_and_a_token_in_the_url_are_refused`
//! 12. resuming did nothing: `a_socket_that_was_cut_in_a_turn_resumes_with_nothing_lost_or_doubled`
//! 13. a cursor outlived its log: `a_cursor_of_another_log_is_told_so`
//! 18. closing a socket ended the process, idle ones were cut: `sockets_come_and_go_and_idle_ones_stay`

#![expect(clippy::unwrap_used, reason = "a promise that is not kept ends its test")]

#[expect(dead_code, reason = "shared with another suite, which uses all of it")]
#[path = "../control/line.rs"]
mod line;
mod played;
mod post;
mod resume;
mod rules;
#[expect(dead_code, reason = "shared with another suite, which uses all of it")]
#[path = "../it/stream.rs"]
mod stream;
mod tab;
mod tickets;
mod together;
#[expect(
    dead_code,
    unused_imports,
    reason = "shared with another suite, which uses all of it"
)]
#[path = "../it/world.rs"]
mod world;
