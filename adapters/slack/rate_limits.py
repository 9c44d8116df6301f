"""How often Slack lets an app call a method: docs.slack.dev/apis/web-api/rate-limits, and each method's own page.

The numbers there are calls per minute, for one app in one workspace. A rate here, its burst included, lets through no
more than that in any minute.
"""

from __future__ import annotations

from gateway.ports.token_buckets import Rate

MINUTE = 60.0


def _tier(calls: int, *, burst: int | None = None) -> Rate:
    """Allows a quarter at once, and spreads the rest evenly over the minute."""
    at_once = burst or calls // 4
    return Rate(MINUTE / (calls - at_once), at_once)


TIER_2, TIER_3, TIER_4 = _tier(20), _tier(50), _tier(100)
SPECIAL = _tier(300, burst=50)
"""Methods with a limit of their own: "several hundred" in a minute."""
PER_CHANNEL = Rate(1.1, 3)
"""chat.postMessage in one channel: one a second, and more only in short bursts."""

POST = "chat.postMessage"
RATES = {
    POST: SPECIAL,
    "chat.startStream": TIER_2,
    "chat.appendStream": TIER_4,
    "chat.stopStream": TIER_2,
    "chat.update": TIER_3,
    "chat.delete": TIER_3,
    "conversations.replies": TIER_3,
    "conversations.history": TIER_3,
    "conversations.info": TIER_3,
    "bots.info": TIER_3,
    "files.info": TIER_4,
    "files.getUploadURLExternal": TIER_4,
    "files.completeUploadExternal": TIER_4,
    "usergroups.list": TIER_2,
    "users.info": TIER_4,
    "assistant.threads.setStatus": SPECIAL,
    "assistant.threads.setSuggestedPrompts": TIER_4,
    "agents.sessions.setStatus": TIER_3,
    "agents.sessions.rename": TIER_3,
    "apps.connections.open": TIER_3,
    "auth.test": SPECIAL,
}


def rate_of(method: str) -> Rate:
    """Returns the rate of a method; for one that is not listed, the lowest of the usual tiers."""
    return RATES.get(method, TIER_2)


def buckets_of(method: str, team: str, channel: str) -> dict[str, Rate]:
    """Returns the limits that count for a call, the narrowest first."""
    buckets = {f"slack:{team}:{channel}:{method}": PER_CHANNEL} if method == POST else {}
    return buckets | {f"slack:{team}:{method}": rate_of(method)}
