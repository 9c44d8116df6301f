"""The tool that returns the current time, which a model does not know."""

from __future__ import annotations

from datetime import datetime
from difflib import get_close_matches
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from gateway.tools.tool import tool


@tool
def current_time(time_zone: str = "UTC") -> str:
    """Tell the current date, time and day of the week in a time zone.

    Args:
        time_zone: An IANA name such as Europe/Berlin, America/New_York or UTC.
    """
    name = _zone_name(time_zone)
    now = datetime.now(ZoneInfo(name))
    return f"{now.isoformat(timespec='seconds')} ({now:%A}, {name})"


def _zone_name(requested: str) -> str:
    """Returns the name as the time zone database spells it. Raises ValueError that suggests similar names."""
    wanted = requested.strip().replace(" ", "_").casefold()
    if found := _zone_names().get(wanted):
        return found
    near = _similar_zones(wanted)
    hint = f" Did you mean {', '.join(near)}?" if near else ""
    raise ValueError(f"There is no time zone {requested[:80]!r}.{hint} Give an IANA name such as Europe/Berlin.")


@cache
def _zone_names() -> dict[str, str]:
    return {name.casefold(): name for name in sorted(available_timezones())}


def _similar_zones(folded_name: str) -> list[str]:
    """Returns up to five zones that contain the name, or whose city or name is similar."""
    names = _zone_names()
    cities = {folded.rpartition("/")[2]: name for folded, name in names.items()}
    likely = [name for folded, name in names.items() if folded_name and folded_name in folded.split("/")]
    likely += [cities[city] for city in get_close_matches(folded_name[:80], cities, n=5, cutoff=0.75)]
    likely += [names[folded] for folded in get_close_matches(folded_name[:80], names, n=5, cutoff=0.75)]
    return list(dict.fromkeys(likely))[:5]
