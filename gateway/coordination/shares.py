"""Places that callers and workspaces share: whoever takes many leaves the last ones to others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from gateway.domain.shares import Share


class SharedPlaces:
    """So many places, and who holds them. Not thread-safe.

    A caller may hold ``fraction`` of those places that the other callers leave, at least one. So one alone leaves some
    free, and two who take all they can leave some to a third. With a fraction of 1 nobody is limited. Workspaces share
    the places among each other in the same way, by ``workspace_fraction``; what one may hold is shared by its callers.
    """

    def __init__(
        self,
        capacity: int,
        fraction: float,
        held: Mapping[Share, int] | None = None,
        *,
        workspace_fraction: float = 1.0,
    ) -> None:
        self.capacity = capacity
        self.fraction = fraction
        self.workspace_fraction = workspace_fraction
        self._held = Counter(dict(held or {}))
        self.total = self._held.total()
        """How many places are held."""
        self._workspaces: Counter[str] = Counter()
        for share, count in self._held.items():
            self._workspaces[share.workspace] += count
        self.has_refused = False
        """Whether ``try_take`` refused one since this was made."""

    def workspace_limit(self, workspace: str) -> int:
        """Returns how many places a workspace may hold as long as the others hold what they hold now."""
        if not workspace:
            return self.capacity
        return _part(self.workspace_fraction, self.capacity - (self.total - self._workspaces[workspace]))

    def limit_of(self, share: Share) -> int:
        """Returns how many places a caller may hold as long as the others hold what they hold now."""
        places, taken = self.capacity, self.total
        if share.workspace:
            places, taken = self.workspace_limit(share.workspace), self._workspaces[share.workspace]
        return _part(self.fraction, places - (taken - self._held[share]))

    def is_workspace_full(self, workspace: str) -> bool:
        """Returns whether no caller of a workspace may take a place."""
        if self.total >= self.capacity:
            return True
        return bool(workspace) and self._workspaces[workspace] >= self.workspace_limit(workspace)

    def try_take(self, share: Share) -> bool:
        """Takes a place, and returns whether there was one for this share."""
        held = self._held[share]
        if self.is_workspace_full(share.workspace) or (held and held >= self.limit_of(share)):  # one is anybody's
            self.has_refused = True
            return False
        self.take(share)
        return True

    def take(self, share: Share) -> None:
        """Takes a place, whether there is one or not."""
        self.total += 1
        self._held[share] += 1
        self._workspaces[share.workspace] += 1

    def release(self, share: Share) -> None:
        self.total -= 1
        self._held[share] -= 1
        self._workspaces[share.workspace] -= 1
        if not self._held[share]:
            del self._held[share]
        if not self._workspaces[share.workspace]:
            del self._workspaces[share.workspace]

    def holds_too_many(self, share: Share) -> bool:
        """Returns whether a caller or its workspace holds more than it may, since others came."""
        held, workspace = self._held[share], share.workspace
        is_beyond_share = held > 1 and held > self.limit_of(share)
        return is_beyond_share or self._workspaces[workspace] > self.workspace_limit(workspace)

    def full_callers(self) -> list[str]:
        """Returns which callers may take no more."""
        return [
            share.caller
            for share, held in self._held.items()
            if self.is_workspace_full(share.workspace) or held >= self.limit_of(share)
        ]

    def full_workspaces(self) -> list[str]:
        """Returns which workspaces may take no more."""
        return [name for name in self._workspaces if name and self.is_workspace_full(name)]

    def copy(self) -> SharedPlaces:
        return SharedPlaces(self.capacity, self.fraction, self._held, workspace_fraction=self.workspace_fraction)


def _part(fraction: float, places: int) -> int:
    return max(1, int(fraction * places + 1e-9))
