"""Bodies of requests, of no more than a size."""

from __future__ import annotations

import flask

from gateway.errors import Unreadable


def read_body(most: int) -> bytes:
    """The body of the present request. Raises Unreadable (``payload_too_large``) above ``most`` bytes."""
    flask.request.max_content_length = most + 1  # a body in chunks is cut off there
    body = flask.request.get_data()
    if len(body) > most:
        raise Unreadable(f"The body is larger than {most} bytes.", code="payload_too_large")
    return body
