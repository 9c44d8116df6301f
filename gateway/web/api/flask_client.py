"""Finds who sent the current Flask request: see ``client_address``."""

from __future__ import annotations

import flask

from gateway.web.api.client_address import client_ip, is_forwarded_https, network_of


def client_network(trusted_proxies: int) -> str:
    """Returns the network from which the current Flask request comes."""
    forwarded_for = flask.request.headers.get("X-Forwarded-For", "")
    return network_of(client_ip(flask.request.remote_addr or "", forwarded_for, trusted_proxies))


def is_https(trusted_proxies: int) -> bool:
    """Returns whether the client of the current Flask request used https, as trusted proxies tell."""
    forwarded = is_forwarded_https(flask.request.headers.get("X-Forwarded-Proto", ""), trusted_proxies)
    return flask.request.is_secure if forwarded is None else forwarded
