"""How a workspace installs the app: to Slack and back, in one browser and in time, and what is kept of it."""

from __future__ import annotations

import json
import re
from typing import Any, cast
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, build_opener

import pytest
from pydantic import SecretStr
from slack_sdk.oauth.installation_store import Installation
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from adapters.slack import oauth
from adapters.slack.adapter import SlackAdapter
from adapters.slack.installations import Installations
from adapters.slack.manifest import SCOPES
from adapters.slack.oauth import SignedStates
from adapters.slack.settings import SlackSettings
from adapters.slack.token_cipher import TokenCipher
from adapters.slack.workspaces import InstalledWorkspaces
from gateway.domain.errors import StoreUnavailable
from gateway.ports.store import KeyValueStore
from gateway.web.asgi_app import create_app
from gateway.worker.worker import run_once
from storage.store import SqlStore
from tests.adapters.app_client import AppClient
from tests.adapters.chat import database_ok
from tests.fakes.memory import FakeMemory
from tests.fakes.recording_inbox import RecordingInbox
from tests.fakes.slack_events import BOT_ID, BOT_USER, SIGNING_SECRET, TEAM, event_envelope, signed_headers
from tests.fakes.slack_faults import ConnectionRefused, SlackErrorFault
from tests.fakes.slack_oauth import CLIENT_ID, CLIENT_SECRET
from tests.fakes.slack_server import FakeSlack
from tests.fakes.unparsed_updates import FakeUnparsedUpdates
from tests.settings import settings_of

BACK = "https://gateway.example/slack/oauth_redirect"
"""As it is set at Slack; the fake wants to hear it."""


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow nobody."""


class OAuthSite:
    """The gateway's web side, a browser, and Slack."""

    def __init__(
        self, slack: FakeSlack, memory: KeyValueStore, public_url: str | None = None, *, bot: str = ""
    ) -> None:
        self.slack = slack
        known = settings_of(
            SlackSettings,
            slack_client_id=CLIENT_ID,
            slack_client_secret=SecretStr(CLIENT_SECRET),
            slack_signing_secret=SecretStr(SIGNING_SECRET),
            slack_api_url=slack.api_url,
            public_url=public_url,
        ).for_bot(bot)
        adapter = SlackAdapter(known, memory, FakeUnparsedUpdates(), run_once)
        self.workspaces = adapter._workspaces
        self.app = create_app([adapter], RecordingInbox().async_inbox, database_ok)
        self.installations = Installations(memory, TokenCipher(()))

    def begin(self, query: str = "") -> TestResponse:
        return self.app.pages.test_client().get(f"/slack/install{query}", base_url="https://gateway.example")

    def consent(self, begun: TestResponse) -> dict[str, str]:
        """What Slack sends the browser back with."""
        url = begun.headers["Location"]
        if "redirect_uri=" not in url:
            url = f"{url}&{urlencode({'redirect_uri': BACK})}"
        with pytest.raises(HTTPError) as answer:
            build_opener(_NoRedirects).open(url)
        answer.value.close()
        return dict(parse_qsl(urlsplit(answer.value.headers["location"]).query))

    def end(self, asked: dict[str, str], cookie: str) -> TestResponse:
        browser = self.app.pages.test_client(use_cookies=False)
        page = browser.get(f"/slack/oauth_redirect?{urlencode(asked)}", headers={"Cookie": cookie})
        assert page.content_type == "text/html; charset=utf-8"
        assert "xox" not in page.text
        return page

    def install(self, team: str = TEAM, **changes: str) -> TestResponse:
        """All of it; ``changes`` to what the browser brings back."""
        begun = self.begin(f"?team={team}")
        return self.end({**self.consent(begun), **changes}, cookie(begun))

    def tell(self, event: dict[str, Any], **more: Any) -> int:
        body = json.dumps(event_envelope(event, **more)).encode()
        return AppClient(self.app).post("/slack/events", data=body, headers=signed_headers(body)).status_code


def cookie(begun: TestResponse) -> str:
    """As the browser sends it."""
    return begun.headers["Set-Cookie"].partition(";")[0]


@pytest.fixture
def site(slack: FakeSlack, sqlite_store: SqlStore) -> OAuthSite:
    return OAuthSite(slack, sqlite_store)


# ---------------------------------------------------------------- there and back


def test_a_person_is_sent_to_slack_with_what_the_app_needs(site: OAuthSite) -> None:
    begun = site.begin()
    assert begun.status_code == 302
    url, _, query = begun.headers["Location"].partition("?")
    assert url == f"{site.slack.url}/oauth/v2/authorize"
    asked = dict(parse_qsl(query))
    assert (asked["client_id"], asked["scope"].split(",")) == (CLIENT_ID, list(SCOPES))
    assert asked["state"] in begun.headers["Set-Cookie"]
    assert {"Secure", "HttpOnly"} <= set(begun.headers["Set-Cookie"].split("; "))
    assert CLIENT_SECRET not in str(begun.headers)


@pytest.mark.parametrize("address", ["https://gateway.example", "gateway.example/"])
def test_slack_is_told_where_to_send_people_back(slack: FakeSlack, sqlite_store: SqlStore, address: str) -> None:
    site = OAuthSite(slack, sqlite_store, address)
    asked = dict(parse_qsl(urlsplit(site.begin().headers["Location"]).query))
    assert asked["redirect_uri"] == BACK
    assert site.install().status_code == 200
    (exchange,) = slack.calls("oauth.v2.access")
    assert exchange.args["redirect_uri"] == BACK


@pytest.mark.parametrize("team", ["T1&redirect_uri=https://evil.example", "T1%0d%0aSet-Cookie:%20a=b", "%ff", "x" * 99])
def test_nothing_gets_into_the_address_by_the_name_of_a_team(site: OAuthSite, team: str) -> None:
    begun = site.begin(f"?team={team}")
    assert begun.status_code == 302
    assert set(dict(parse_qsl(urlsplit(begun.headers["Location"]).query))) <= {"client_id", "scope", "state", "team"}
    assert "evil" not in begun.headers["Location"]
    assert len(begun.headers.getlist("Set-Cookie")) == 1


async def test_an_installed_workspace_is_found_with_its_token(site: OAuthSite) -> None:
    with capture_logs() as logs:
        page = site.install()
    assert page.status_code == 200
    assert "installed in Acme" in page.text
    found = await site.workspaces.find({"team": TEAM})
    assert (found.team, found.bot_user, found.bot_id) == (TEAM, BOT_USER, BOT_ID)
    assert site.slack._state.grants[found.token].workspace.team == TEAM
    assert found.token not in str(logs) + page.text + str(page.headers) + repr(found)


async def test_any_number_of_workspaces_may_install_it_and_again(site: OAuthSite) -> None:
    for team in ("T0ONE", "T0TWO", "T0ONE"):
        assert site.install(team).status_code == 200
    one, two = [await site.workspaces.find({"team": team}) for team in ("T0ONE", "T0TWO")]
    assert one.token != two.token
    assert site.slack._state.grants[one.token].workspace.team == "T0ONE"


def test_names_are_shown_as_names(site: OAuthSite) -> None:
    site.slack._state.workspaces[TEAM].name = "<script>alert(1)</script> & Co"
    page = site.install()
    assert "&lt;script&gt;" in page.text
    assert "<script" not in page.text


def test_a_missing_bot_id_costs_nobody_the_installation(site: OAuthSite) -> None:
    site.slack.faults.add("auth.test", SlackErrorFault("internal_error"))
    assert site.install().status_code == 200
    assert site.workspaces.look_up({"team": TEAM}).bot_id == ""


# ---------------------------------------------------------------- what does not work


def refused(site: OAuthSite, page: TestResponse, status: int) -> str:
    assert page.status_code == status
    assert 'href="/slack/install"' in page.text
    assert "deleted" in page.headers["Set-Cookie"]
    assert site.installations.find_bot(enterprise_id=None, team_id=TEAM) is None
    return re.sub(r"<[^>]*>", " ", page.text)


def test_the_page_of_a_bot_with_a_name_leads_back_to_its_own_installation(slack: FakeSlack) -> None:
    pages = OAuthSite(slack, FakeMemory(), bot="desk").app.pages.test_client()
    assert 'href="/slack/desk/install"' in pages.get("/slack/desk/oauth_redirect?error=access_denied").text


def test_another_browser_cannot_finish_what_one_began(site: OAuthSite) -> None:
    mine, theirs = site.begin(), site.begin()
    brought = site.consent(theirs)
    for shown in (cookie(mine), "", "slack-app-oauth-state="):
        refused(site, site.end(brought, shown), 400)


def test_a_state_of_somebodys_own_making_is_refused(site: OAuthSite) -> None:
    state = cookie(site.begin()).partition("=")[2]
    for forged in ("state", state[:-2] + "xx", SignedStates("another secret").issue()):
        page = site.end({"code": site.slack.oauth.new_code(), "state": forged}, f"slack-app-oauth-state={forged}")
        assert "too long" in refused(site, page, 400)


def test_a_state_holds_for_a_while_only(site: OAuthSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth, "STATE_SECONDS", -1)
    assert "too long" in refused(site, site.install(), 400)


def test_who_says_no_at_slack_is_told_that_nothing_happened(site: OAuthSite) -> None:
    site.slack.oauth.user_consents = False
    assert "was not installed" in refused(site, site.install(), 200)


def test_nothing_that_a_link_says_gets_into_the_page_or_the_log(site: OAuthSite) -> None:
    with capture_logs() as logs:
        page = site.end({"error": "<script>alert(1)</script>"}, "")
    assert "alert" not in refused(site, page, 400) + page.text + str(logs)


def test_a_code_is_good_for_one_time(site: OAuthSite) -> None:
    begun = site.begin()
    brought = site.consent(begun)
    del brought["code"]
    refused(site, site.end(brought, cookie(begun)), 400)
    code = site.slack.oauth.new_code()
    assert site.end({**brought, "code": code}, cookie(begun)).status_code == 200
    with capture_logs() as logs:
        assert site.end({**brought, "code": code}, cookie(begun)).status_code == 400
    assert [entry["error"] for entry in logs if "error" in entry] == ["code_already_used"]
    assert code not in str(logs)


def test_slack_may_be_away(site: OAuthSite) -> None:
    site.slack.faults.add("oauth.v2.access", ConnectionRefused())
    assert "could not be reached" in refused(site, site.install(), 502)


def test_slack_is_called_for_so_many_codes_of_one_network_and_no_more(site: OAuthSite) -> None:
    begun = site.begin()
    brought = site.consent(begun) | {"code": "junk"}
    for forged in ({**brought, "state": "forged"}, {**brought, "error": "access_denied"}) * oauth.CODES_PER_MINUTE:
        site.end(forged, cookie(begun))
    pages = [site.end(brought, cookie(begun)) for _ in range(oauth.CODES_PER_MINUTE + 1)]
    assert [page.status_code for page in pages] == [400] * oauth.CODES_PER_MINUTE + [429]
    assert "too often" in refused(site, pages[-1], 429)
    assert len(site.slack.calls("oauth.v2.access")) == oauth.CODES_PER_MINUTE


class Broken:
    """A database that is down."""

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object) -> None:
            raise StoreUnavailable("postgresql://u:pw@h")

        return fail


def test_a_database_that_is_down_is_said_so(slack: FakeSlack) -> None:
    page = OAuthSite(slack, cast("KeyValueStore", Broken())).install()
    assert page.status_code == 503
    assert "pw" not in page.text


# ---------------------------------------------------------------- what ends an installation

UNINSTALLED = {"type": "app_uninstalled"}
REVOKED = {"type": "tokens_revoked", "tokens": {"oauth": [], "bot": [BOT_USER]}}
LATER = 4_000_000_000


@pytest.mark.parametrize("event", [UNINSTALLED, REVOKED])
def test_an_installation_that_is_over_is_forgotten_at_once(site: OAuthSite, event: dict[str, Any]) -> None:
    site.install()
    site.install("T0OTHER")
    assert site.workspaces.look_up({"team": TEAM}).token
    assert site.tell(event, event_time=LATER) == 200
    assert cast("InstalledWorkspaces", site.workspaces)._recall(TEAM) is None
    assert site.installations.find_bot(enterprise_id=None, team_id=TEAM) is None
    assert site.installations.find_bot(enterprise_id=None, team_id="T0OTHER") is not None


def test_tokens_of_people_are_not_ours(site: OAuthSite) -> None:
    site.install()
    assert site.tell({"type": "tokens_revoked", "tokens": {"oauth": ["U1"]}}, event_time=LATER) == 200
    assert site.workspaces.look_up({"team": TEAM}).token


def test_what_slack_tells_late_ends_no_newer_installation(site: OAuthSite) -> None:
    site.install()
    assert site.tell(UNINSTALLED, event_time=1_700_000_000) == 200
    assert site.workspaces.look_up({"team": TEAM}).token


def test_slack_says_it_again_when_it_could_not_be_written(slack: FakeSlack) -> None:
    assert OAuthSite(slack, cast("KeyValueStore", Broken())).tell(UNINSTALLED) == 503


def test_an_organisation_ends_what_it_has_installed(site: OAuthSite) -> None:
    keep_for_organisation(site)
    site.install()
    whole = {"team_id": TEAM, "enterprise_id": "E0ORG", "is_enterprise_install": True}
    assert site.tell(UNINSTALLED, event_time=LATER, enterprise_id="E0ORG", authorizations=[whole]) == 200
    assert site.installations.find_bot(enterprise_id="E0ORG", team_id=None) is None
    assert site.installations.find_bot(enterprise_id="E0ORG", team_id=TEAM) is not None


def keep_for_organisation(site: OAuthSite) -> None:
    site.installations.save(
        Installation(
            enterprise_id="E0ORG",
            is_enterprise_install=True,
            bot_token="xoxb-org",
            bot_user_id=BOT_USER,
            bot_id=BOT_ID,
            bot_scopes="chat:write",
            user_id="U0ADMIN",
        )
    )


async def test_every_workspace_of_an_organisation_has_what_that_installed(site: OAuthSite) -> None:
    keep_for_organisation(site)
    found = await site.workspaces.find({"team": "T0ANY", "enterprise": "E0ORG"})
    assert (found.team, found.token) == ("T0ANY", "xoxb-org")
