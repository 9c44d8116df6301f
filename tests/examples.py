"""How many examples a test of properties tries: few in each run, as each run tries others, and many in `make slow`."""

from __future__ import annotations

from hypothesis import settings

USUAL, THOROUGH = 15, 300


def register_profiles() -> None:
    """Chooses the usual number; ``--hypothesis-profile thorough`` of the command line is read later, and wins."""
    # No deadline for examples: the machine may be busy.
    settings.register_profile("usual", deadline=None, max_examples=USUAL)
    settings.register_profile("thorough", deadline=None, max_examples=THOROUGH)
    settings.load_profile("usual")


def examples(usual: int) -> int:
    """Returns a number of examples, for a test that needs more or fewer than others: more of them in `make slow`."""
    return usual * settings().max_examples // USUAL
