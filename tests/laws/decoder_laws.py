"""The laws of every adapter. A test class inherits them and says which adapter, which made answers, which samples."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, ClassVar

import msgspec
import pytest

from handlers.errors import FAILURES, FailureClass, Unprocessable
from handlers.local.replay_reading import carries_error
from handlers.translation.adapters.base import Adapter, Decoder
from handlers.translation.adapters.failures import classify_error
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.events import ResponseCompleted, ResponseFailed, Unrecognized
from handlers.translation.canonical.request import CanonicalRequest
from tests.laws.observing import check_order, decode, last_usage, random_splitting, split_at, summary
from tests.laws.recordings import FULL, recorded
from tests.laws.requests import REQUESTS

SPLITTINGS = 200 if FULL else 4
SINGLE_BYTES_MAX = 10_000_000 if FULL else 8_000
"""Longer answers are not fed byte by byte in the normal run."""
CUTS_MAX = 100_000 if FULL else 24


class DecoderLaws:
    """Inherit, and fill in."""

    adapter: ClassVar[Adapter]
    made: ClassVar[dict[str, bytes]]
    """Made streams, by case."""
    whole: ClassVar[dict[str, bytes]]
    """The same answers as one body, by the same case names."""
    boundary: ClassVar[re.Pattern[bytes]] = re.compile(rb"\r\n\r\n|\n\n+|\r\r")
    unknown: ClassVar[bytes]
    """A stream with something in it that nobody knows."""
    inexpressible: ClassVar[dict[str, CanonicalRequest]]
    """Requests that the format cannot say, by the field that the refusal must name."""
    errors: ClassVar[list[tuple[int, bytes, FailureClass]]]
    endless: ClassVar[bytes]
    """A frame that may be repeated without end and brings content each time."""
    opening: ClassVar[bytes] = b""
    """What comes before `endless`."""

    def target(self) -> UpstreamTarget:
        return UpstreamTarget(wire_format=self.adapter.name, upstream_model="model-1", provider="maker")

    def decoder(self, *, streams: bool = True) -> Decoder:
        return self.adapter.decoder(streams=streams, target=self.target(), prompt_tokens=7)

    def streams(self) -> list[bytes]:
        return list(self.made.values()) + [one.body for one in recorded(self.adapter.name, streams=True)]

    def test_law_1_any_splitting_gives_the_same_events(self) -> None:
        for stream in self.streams():
            expected = decode(self.decoder(), [stream])
            for seed in range(SPLITTINGS):
                assert decode(self.decoder(), random_splitting(stream, seed)) == expected
            if len(stream) <= SINGLE_BYTES_MAX:
                assert decode(self.decoder(), split_at(stream, range(1, len(stream)))) == expected

    def test_law_1_a_whole_body_may_arrive_in_any_pieces(self) -> None:
        for body in self.whole.values():
            expected = decode(self.decoder(streams=False), [body])
            assert decode(self.decoder(streams=False), split_at(body, range(1, len(body)))) == expected

    def test_law_2_every_prefix_short_of_the_end_is_a_truncation(self) -> None:
        for stream in self.streams():
            ends = self.frame_ends(stream)
            if len(ends) > CUTS_MAX:
                ends = ends[:: len(ends) // CUTS_MAX + 1]
            completed = False
            for cut in ends:
                events = decode(self.decoder(), [stream[:cut]])
                check_order(events)
                end = events[-1]
                if isinstance(end, ResponseCompleted):
                    completed = True
                elif not completed:
                    assert isinstance(end, ResponseFailed)
                else:  # once whole, an answer stays whole
                    raise AssertionError(cut)

    def test_law_2_a_cut_inside_a_frame_never_looks_whole(self) -> None:
        """An answer cut anywhere is as whole as its last complete frame; only a missing blank line is forgiven."""
        for stream in self.made.values():
            whole = False
            for start, end in pairwise([0, *self.frame_ends(stream)]):
                whole_at_end = self.is_whole(stream[:end])
                for cut in range(start, end):
                    blank_line_at = len(stream[:end].rstrip(b"\r\n"))
                    assert self.is_whole(stream[:cut]) is (whole_at_end if cut >= blank_line_at else whole), cut
                whole = whole_at_end

    def is_whole(self, prefix: bytes) -> bool:
        events = decode(self.decoder(), [prefix])
        check_order(events)
        return isinstance(events[-1], ResponseCompleted)

    def frame_ends(self, stream: bytes) -> list[int]:
        return [found.end() for found in self.boundary.finditer(stream)]

    def test_laws_3_4_5_events_are_in_order(self) -> None:
        for stream in self.streams():
            check_order(decode(self.decoder(), [stream]))
        bodies = list(self.whole.values()) + [one.body for one in recorded(self.adapter.name, streams=False)]
        for body in bodies:
            check_order(decode(self.decoder(streams=False), [body]))

    def test_law_3_bytes_after_the_end_change_nothing(self) -> None:
        for stream in self.made.values():
            decoder = self.decoder()
            events = decode(decoder, [stream])
            assert decoder.receive_data(stream) == []
            assert decoder.receive_eof() == []
            check_order(events)

    def test_law_6_building_twice_gives_the_same_and_changes_nothing(self) -> None:
        for request in REQUESTS.values():
            before = repr(msgspec.structs.astuple(request))
            try:
                first = self.adapter.build_request(request, self.target())
            except Unprocessable:
                continue
            assert self.adapter.build_request(request, self.target()) == first
            assert repr(msgspec.structs.astuple(request)) == before

    def test_law_7_the_unknown_is_counted(self) -> None:
        events = decode(self.decoder(), [self.unknown])
        check_order(events)
        assert any(isinstance(event, Unrecognized) for event in events)
        assert isinstance(events[-1], ResponseCompleted)

    def test_law_7_what_the_format_cannot_say_is_refused_by_name(self) -> None:
        for param, request in self.inexpressible.items():
            with pytest.raises(Unprocessable) as refused:
                self.adapter.build_request(request, self.target())
            assert refused.value.param == param

    def test_law_8_a_frame_without_end_is_refused(self) -> None:
        decoder = self.decoder()
        events = decoder.receive_data(self.opening)
        for _ in range(20):
            events += decoder.receive_data(b"data: " + b"x" * 1_000_000)
        assert ResponseFailed(FailureClass.MALFORMED) in events

    def test_law_8_an_answer_far_over_its_cap_is_refused(self) -> None:
        decoder = self.decoder()
        decoder.writer.limit_output(16)
        events = decoder.receive_data(self.opening)
        for _ in range(40_000):
            events = decoder.receive_data(self.endless)
            if decoder.writer.ended:
                break
        assert ResponseFailed(FailureClass.MALFORMED) in events

    def test_law_9_streamed_and_whole_answers_say_the_same(self) -> None:
        assert set(self.whole) <= set(self.made)
        for case, body in self.whole.items():
            streamed = summary(decode(self.decoder(), [self.made[case]]))
            assert summary(decode(self.decoder(streams=False), [body])) == streamed, case

    def test_law_10_errors_have_their_class_and_no_words(self) -> None:
        for status, body, failure in self.errors:
            failed = classify_error(status, body)
            assert failed.failure is failure, (status, body)
            assert failed.failure in FAILURES

    def test_recorded_answers_are_understood(self) -> None:
        misses: list[Any] = []
        for streams in (True, False):
            for one in recorded(self.adapter.name, streams=streams):
                events = decode(self.decoder(streams=streams), [one.body])
                if not isinstance(events[-1], ResponseCompleted) and not self.is_error(one.body):
                    misses.append((one.id, one.provider, events[-1]))
                check_order(events)
        assert misses == []

    def is_error(self, body: bytes) -> bool:
        """A recorded answer that is itself an error, or was cut by its recorder."""
        return carries_error(self.adapter.name, body)

    def test_usage_is_known_wherever_it_was_recorded(self) -> None:
        for case, body in self.whole.items():
            usage = last_usage(decode(self.decoder(streams=False), [body]))
            assert usage.prompt_tokens > 0, case
            assert not usage.estimated, case
