"""What a wire format or an endpoint cannot express: each refusal names the field and the way out."""

from __future__ import annotations

from handlers.errors import Unprocessable
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.request import CanonicalRequest, Media


def refuse_many_answers(request: CanonicalRequest) -> None:
    """For formats with one answer, of text.

    Raises:
        Unprocessable: more than that is asked for.
    """
    if request.choices > 1:
        raise Unprocessable("n: this endpoint gives one answer at a time; send n: 1 and ask again for more.", param="n")
    if set(request.modalities) - {"text"}:
        raise Unprocessable(
            'modalities: this endpoint answers in text only; send ["text"] or choose another model.', param="modalities"
        )


def refuse_tools(target: UpstreamTarget) -> None:
    """For requests with tools.

    Raises:
        Unprocessable: the endpoint calls none.
    """
    if not target.tools:
        raise Unprocessable(
            "tools: this endpoint cannot call tools; leave them out or choose another model.", param="tools"
        )


def refused_media(part: Media) -> Unprocessable:
    """The refusal of a picture, film, sound or document."""
    return Unprocessable(
        f"{part.at}: this endpoint takes no {part.kind} in this form; leave it out or choose another model.",
        param=part.at,
    )
