"""The Flask blueprint at /admin: authentication before every page, and the headers of every response."""

from __future__ import annotations

import re
from typing import Any

import flask
from flask.typing import ResponseReturnValue

from gateway.admin import conversations, filters, integrations, overview, turns
from gateway.admin.context import Desk
from gateway.admin.session import Door, Pass
from gateway.domain.errors import GatewayError, Overloaded
from gateway.web.api import problems

NAME = "admin"
ROOT = "/admin"
LARGEST_FORM = 64 * 1024
WITHIN = re.compile(r"/admin(?:[/?][!-\[\]-~]*)?")
"""A URL path of the operator's pages: printable ASCII without a backslash."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing: www.rfc-editor.org/rfc/rfc9110#section-9.2.1"""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}

EXPIRED = "This form has expired. Please try again."
WRONG = "That is not the password."
FOREIGN = "The form does not belong to your session, or it has expired. Go back, reload the page, and try again."


def blueprint(desk: Desk) -> flask.Blueprint:
    """Returns the operator's pages; without a password, one page that says how to set it."""
    made = flask.Blueprint(NAME, __name__, url_prefix=ROOT, template_folder="../pages")
    made.after_request(_secure)
    filters.add_filters(made)
    if not desk.settings.on:
        made.add_url_rule("", "off", lambda: (_off(desk), 403), strict_slashes=False)
        return made
    entrance = Entrance(desk, Door(desk.settings, desk.store))
    made.before_request(entrance.guard)
    made.context_processor(entrance.known)
    made.register_error_handler(GatewayError, entrance.problem)
    made.add_url_rule("/sign-in", "sign_in", entrance.sign_in, methods=["GET", "POST"])
    made.add_url_rule("/sign-out", "sign_out", entrance.sign_out, methods=["POST"])
    for module in (overview, conversations, turns, integrations):
        module.add_routes(made, desk)
    return made


def _off(desk: Desk) -> str:
    return flask.render_template("admin/off.html", assets=_assets(desk))


def _assets(desk: Desk) -> str:
    return f"{flask.request.script_root}/{desk.assets}"


def _secure(response: flask.Response) -> flask.Response:
    response.headers.update(HEADERS)
    return response


class Entrance:
    """Requires a session for every page, and a valid CSRF token for every change."""

    def __init__(self, desk: Desk, door: Door) -> None:
        self._desk = desk
        self._door = door

    def guard(self) -> ResponseReturnValue | None:
        """Runs before every request. A response that it returns replaces the page."""
        flask.request.max_content_length = LARGEST_FORM
        cookie = self._door.shown()
        entering = flask.request.endpoint == f"{NAME}.sign_in"
        if cookie is None or not cookie.signed_in:
            return None if entering else self._form(cookie, 401)
        self._admit(cookie)
        if flask.request.method not in SAFE and not entering and not self._door.form_is_ours(cookie):
            return flask.render_template("admin/problem.html", message=FOREIGN), 403
        return None

    def known(self) -> dict[str, Any]:
        """Returns the variables that every template may use."""
        cookie: Pass | None = flask.g.get("cookie")
        return {
            "assets": _assets(self._desk),
            "signed_in": cookie is not None,
            "token": flask.g.get("token", ""),
            "page": flask.request.endpoint,
        }

    def sign_in(self) -> ResponseReturnValue:
        cookie = self._door.shown()
        if flask.request.method != "POST":
            return _onward(ROOT) if cookie and cookie.signed_in else self._form(cookie, 200)
        if not self._door.form_is_ours(cookie):
            return self._form(cookie, 403, EXPIRED)
        try:
            right = self._door.try_password(flask.request.form.get("password", ""))
        except Overloaded as exc:
            _, status, headers = problems.of_error(exc)
            return self._form(cookie, status, str(exc)), headers
        if not right:
            return self._form(cookie, 401, WRONG)
        response = _onward(flask.request.form.get("next", ""))
        self._door.hand_out(response, signed_in=True)
        return response

    def sign_out(self) -> ResponseReturnValue:
        response = _onward(f"{ROOT}/sign-in")
        self._door.take_back(flask.g.cookie, response)
        return response

    def problem(self, exc: GatewayError) -> ResponseReturnValue:
        body, status, headers = problems.of_error(exc)
        return flask.render_template("admin/problem.html", message=body["error"]["message"]), status, headers

    def _admit(self, cookie: Pass) -> None:
        flask.g.cookie = cookie
        flask.g.token = self._door.form_token(cookie)

    def _form(self, cookie: Pass | None, status: int, problem: str = "") -> flask.Response:
        """Returns the sign-in form in place of the requested page; signing in leads back to that page."""
        response = flask.make_response("", status)
        cookie = cookie or self._door.hand_out(response, signed_in=False)
        asked = flask.request.form.get("next") or flask.request.full_path.removesuffix("?")
        response.set_data(
            flask.render_template(
                "admin/sign_in.html",
                problem=problem,
                token=self._door.form_token(cookie),
                next=asked if _is_page(asked) else ROOT,
            )
        )
        return response


def _is_page(address: str) -> bool:
    return bool(WITHIN.fullmatch(address)) and not address.startswith((f"{ROOT}/sign-in", f"{ROOT}/sign-out"))


def _onward(address: str) -> flask.Response:
    """Redirects to the address if it is one of the operator's pages, else to the overview; never to another site."""
    inside = address if WITHIN.fullmatch(address) else ROOT
    return flask.Response("", 303, {"Location": f"{flask.request.script_root}{inside}"})
