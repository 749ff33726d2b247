from __future__ import annotations

import msgspec
import pytest

from handlers.errors import Unprocessable
from handlers.local.replay_interactions import write_interaction
from handlers.translation.dialects.base import ClientBody
from handlers.translation.registry import DIALECTS
from tests.judges.interactions import interaction_complaints
from tests.laws.requests import REQUESTS, TWO_CHOICES


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_what_is_written_obeys_googles_specification_and_is_read_back(name: str) -> None:
    request = REQUESTS[name]
    body = write_interaction(request)
    fields = msgspec.json.decode(body)
    config = fields.get("generation_config", {})
    for newer in ("temperature", "top_p"):  # recorded and answered, and not in the published file
        config.pop(newer, None)
    assert interaction_complaints("CreateModelInteractionParams", fields) == []
    read = DIALECTS["google_interactions"].parse(ClientBody(body, request.stream, stateless=True))
    assert [type(part) for turn in read.messages for part in turn.parts if turn.role != "system"] == [
        type(part) for turn in request.messages for part in turn.parts if turn.role not in {"system", "developer"}
    ]
    assert [tool.name for tool in read.tools] == [tool.name for tool in request.tools]
    assert read.sampling.temperature == request.sampling.temperature


def test_several_choices_are_refused() -> None:
    with pytest.raises(Unprocessable):
        write_interaction(TWO_CHOICES)
