from __future__ import annotations

from handlers.transport.limits import KIB, CallDeadlines, ClientLimits, ServerLimits


def test_defaults_are_those_of_the_reference() -> None:
    limits = ServerLimits()
    assert (limits.request_line_bytes, limits.header_section_bytes, limits.headers) == (8 * KIB, 32 * KIB, 100)
    assert (limits.head_s, limits.body_grace_s, limits.body_bytes_per_s) == (10, 10, KIB)
    assert (limits.keep_alive_s, limits.write_stall_s) == (75, 60)
    assert ClientLimits().header_section_bytes == 64 * KIB


def test_relations_between_limits() -> None:
    server, client, call = ServerLimits(), ClientLimits(), CallDeadlines()
    assert server.sweep_s <= server.head_s / 10, "a deadline is kept to 10 %"
    assert server.linger_s < server.head_s
    assert client.idle_s < server.keep_alive_s, "a client gives up an idle connection before a server of ours does"
    assert call.connect_ms < call.headers_ms <= call.between_bytes_ms < call.total_ms
