"""Places that callers and workspaces share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.coordination.shares import SharedPlaces
from gateway.domain.shares import Share


def take_all(places: SharedPlaces, name: str, workspace: str = "") -> int:
    taken = 0
    while places.try_take(Share(name, workspace)):
        taken += 1
    return taken


def test_one_alone_leaves_a_part_free_and_so_do_two() -> None:
    places = SharedPlaces(20, 0.8)
    assert not places.has_refused
    assert take_all(places, "a") == 16
    assert places.has_refused
    assert places.full_callers() == ["a"]
    assert [take_all(places, name) for name in "bc"] == [3, 1]
    assert places.full_callers() == ["a", "b", "c"]


def test_without_a_limit_one_may_have_all() -> None:
    assert take_all(SharedPlaces(5, 1.0), "a") == 5


def test_there_is_always_a_place_for_somebody_new_while_there_is_one() -> None:
    places = SharedPlaces(1, 0.1)
    assert [take_all(places, name) for name in "ab"] == [1, 0]


def test_who_holds_more_than_the_others_leave_is_known() -> None:
    places = SharedPlaces(10, 0.8)
    take_all(places, "a")
    assert not places.holds_too_many(Share("a"))
    take_all(places, "b")
    assert places.holds_too_many(Share("a"))
    places.release(Share("b"))
    assert not places.holds_too_many(Share("a"))


def test_a_workspace_leaves_a_part_free_and_so_does_each_of_its_callers() -> None:
    places = SharedPlaces(20, 0.5, workspace_fraction=0.8)
    assert [take_all(places, name, "big") for name in "abcdef"] == [8, 4, 2, 1, 1, 0]
    assert places.full_workspaces() == ["big"]
    assert places.full_callers() == list("abcde")
    assert not places.holds_too_many(Share("f", "big"))
    assert take_all(places, "a", "small") == 1
    assert take_all(places, "a") == 1
    assert places.holds_too_many(Share("f", "big"))
    assert not places.holds_too_many(Share("a", "small"))


def seen_of(places: SharedPlaces) -> object:
    """Returns all that a process asks about its places."""
    shares = [Share(*each) for each in CALLERS]
    limits = [(places.limit_of(each), places.holds_too_many(each)) for each in shares]
    return places.total, limits, sorted(places.full_callers()), sorted(places.full_workspaces())


CALLERS = [(caller, workspace) for caller in "ab" for workspace in ("", "w", "x")]


@given(
    st.lists(st.tuples(st.sampled_from(CALLERS), st.booleans())),
    *(st.integers(1, 9), st.floats(0.1, 1.0), st.floats(0.1, 1.0)),
)
def test_no_more_are_held_than_there_are(
    steps: list[tuple[tuple[str, str], bool]], capacity: int, fraction: float, of_workspace: float
) -> None:
    places, held = SharedPlaces(capacity, fraction, workspace_fraction=of_workspace), dict.fromkeys(CALLERS, 0)
    for name, takes in steps:
        if takes:
            held[name] += places.try_take(Share(*name))
        elif held[name]:
            places.release(Share(*name))
            held[name] -= 1
        assert places.total == sum(held.values()) <= capacity
        anew = SharedPlaces(
            capacity,
            fraction,
            {Share(*each): count for each, count in held.items() if count},
            workspace_fraction=of_workspace,
        )
        for each in (places, places.copy()):
            assert seen_of(each) == seen_of(anew)
