"""What is Discord's own in a delivery: threads, interactions, buttons, and the lookup after a doubt."""

from __future__ import annotations

import asyncio

import pytest

from adapters.base.errors import OutcomeUnknown, Rejected
from adapters.discord.api_client import DiscordClient
from adapters.discord.history_lookup import find_posted
from adapters.discord.posted_reply import DiscordReply
from adapters.discord.settings import DiscordSettings
from gateway.domain.errors import DeliveryError
from gateway.domain.files import File
from gateway.domain.run_events import TextDelta
from tests.adapters.discord.reply_scene import MakeScene
from tests.contracts.reply_scene import deltas
from tests.fakes.discord_state import BOT, TOKEN, DiscordErrorFault
from tests.fakes.platform_faults import HttpStatus, Json, ResponseLost
from tests.fakes.simulated_crash import CrashAfterSteps

MOST_STEPS = 60


@pytest.mark.parametrize("keeps_nonces", [True, False])
@pytest.mark.parametrize("where", ["direct", "thread", "command"])
@pytest.mark.parametrize("previews", [True, False])
async def test_a_process_may_die_at_every_step(
    make_scene: MakeScene, where: str, *, previews: bool, keeps_nonces: bool
) -> None:
    for steps in range(MOST_STEPS):
        scene = make_scene(where)
        scene.discord.state.keeps_nonces = keeps_nonces
        scene.discord.state.nonces.clear()
        turn = scene.answered(scene.LONG)
        told = [*deltas(scene.LONG, 900), scene.texts] if previews else []
        if await scene.lives(CrashAfterSteps(steps), told, turn):
            scene.discord.state.keeps_nonces = True
            return
        scene.discord.state.nonces.clear()  # minutes later
        await scene.restart()
        await scene.deliver(turn)
        scene.assert_stands(turn.reply)
    raise AssertionError("it died at every step")


@pytest.mark.parametrize(
    ("shown", "name"),
    [({"filename": "_.pdf", "title": "отчёт"}, "отчёт.pdf"), ({"filename": "my_report.pdf"}, "my report.pdf")],
)
async def test_a_file_is_found_again_by_the_name_that_discord_gave_it(
    make_scene: MakeScene, shown: Json, name: str
) -> None:
    scene = make_scene()
    with scene.discord.state.notify():
        scene.discord.state.add_message(scene.place, scene.discord.state.bot_user, "", attachments=[shown])
    writer = await scene.replies.writer(scene.turn, scene.delivery, DiscordReply(), max_wait=0)
    found = await find_posted(writer, scene.place, BOT, scene.turn, (), [name])
    assert len(found.files) == 1


async def test_a_post_without_an_answer_is_looked_for(make_scene: MakeScene) -> None:
    scene = make_scene("thread")
    scene.faults.add(scene.POST, ResponseLost())
    await scene.deliver(scene.answered("Here."))
    scene.assert_stands("Here.")
    assert scene.count("getMessages") == 1


async def test_a_pushed_text_without_an_answer_is_looked_for_and_asks_for_no_feedback(make_scene: MakeScene) -> None:
    scene = make_scene("direct")
    scene.faults.add(scene.POST, ResponseLost())
    await scene.deliver(scene.pushed("Here."))
    scene.assert_stands("Here.")
    assert scene.count("getMessages") == 1
    assert scene.buttons() == []
    assert "message_reference" not in scene.messages()[0]


async def test_a_pushed_text_is_looked_for_in_its_channel_before_it_is_posted(make_scene: MakeScene) -> None:
    scene = make_scene("direct")
    turn = scene.pushed("Here.")
    await scene.restart()  # a text that is recorded as answered is a second attempt for whoever delivers it first
    await scene.deliver(turn)
    assert scene.texts() == ["Here."]
    await scene.restart()
    await scene.deliver(turn)
    assert scene.texts() == ["Here."]


async def test_a_command_is_answered_although_another_process_began(make_scene: MakeScene) -> None:
    scene = make_scene("command")
    turn = scene.answered("Here.")
    await scene.restart()
    await scene.deliver(turn)
    assert scene.texts() == ["Here."]


async def test_where_no_thread_can_be_opened_the_reply_is_posted_in_the_channel(make_scene: MakeScene) -> None:
    scene = make_scene("thread")
    scene.place = scene.channel
    scene.faults.add("startThread", DiscordErrorFault(403, 50013))
    await scene.deliver(scene.answered("Here."))
    assert scene.texts() == ["Here."]
    assert scene.messages()[0]["message_reference"]["message_id"] == scene.turn.message.address["message"]


async def test_a_command_is_answered_where_discord_waits_for_it_and_then_by_messages(make_scene: MakeScene) -> None:
    scene = make_scene("command")
    await scene.deliver(scene.answered(scene.LONG))
    scene.assert_stands(scene.LONG)
    interaction = scene.discord.state.interactions[scene.turn.message.address["token"]]
    assert interaction.original == scene.messages()[0]["id"]


@pytest.mark.parametrize("fault", [DiscordErrorFault(404, 10015), DiscordErrorFault(401, 50027)])
async def test_a_command_whose_time_is_over_is_answered_by_a_message(
    make_scene: MakeScene, fault: DiscordErrorFault
) -> None:
    scene = make_scene("command")
    scene.faults.add("editAnswer", fault)
    await scene.deliver(scene.answered("Here."))
    assert scene.texts() == ["Here."]
    assert scene.count("createMessage") == 1


READ_ONLY = DiscordErrorFault(403, 50013, times=99)
"""A channel in which commands are answered, and where the bot may not write."""


async def test_a_command_is_answered_whole_where_the_bot_may_not_write(make_scene: MakeScene) -> None:
    scene = make_scene("command")
    scene.delivery.files["f1"] = b"1,2"
    for method in (scene.POST, scene.UPDATE):
        scene.faults.add(method, READ_ONLY)
    await scene.follow(*deltas(scene.LONG, 900), scene.texts)
    turn = scene.answered(scene.LONG, File("a.csv", "f1"))
    await scene.deliver(turn)
    scene.assert_stands(scene.LONG)
    assert scene.files() == ["a.csv"]
    assert scene.buttons() == [f"good:{turn.id}", f"bad:{turn.id}"]


@pytest.mark.parametrize("dies", [True, False])
async def test_what_answers_a_command_is_not_posted_again_after_a_doubt(make_scene: MakeScene, *, dies: bool) -> None:
    scene = make_scene("command")
    scene.faults.add(scene.POST, READ_ONLY)
    scene.faults.add("getMessages", READ_ONLY)
    scene.faults.add("followUp", ResponseLost())
    turn = scene.answered(scene.LONG)
    with pytest.raises(DeliveryError):
        await scene.replies.deliver(turn, scene.delivery)
    if dies:
        await scene.restart()
    with pytest.raises(Rejected):
        await scene.deliver(turn)
    assert scene.texts() == scene.expected(scene.LONG)[:2]


async def test_a_growing_reply_has_a_stop_button_and_a_complete_one_asks_for_feedback(make_scene: MakeScene) -> None:
    scene = make_scene()
    seen: list[str] = []

    def look() -> list[str]:
        seen.extend(scene.buttons())
        return seen

    await scene.follow(TextDelta("Some words "), look)
    await scene.deliver(scene.answered("Some words."))
    turn = scene.turn.id
    assert set(seen) == {f"stop:{turn}"}
    assert scene.buttons() == [f"good:{turn}", f"bad:{turn}"]


async def test_the_button_of_a_preview_goes_when_its_process_died_and_the_turn_was_stopped(
    make_scene: MakeScene,
) -> None:
    scene = make_scene()
    await scene.previewed()
    await scene.restart()
    await scene.deliver(scene.cancelled())
    assert (scene.texts(), scene.buttons()) == (["Some words"], [])


async def test_a_post_that_failed_at_discord_is_repeated_when_it_is_not_found(make_scene: MakeScene) -> None:
    scene = make_scene()
    scene.faults.add(scene.POST, HttpStatus(502))
    assert await scene.deliver(scene.answered("Here.")) == 1
    scene.assert_stands("Here.")


async def test_a_limit_of_the_whole_bot_holds_up_every_route(make_scene: MakeScene) -> None:
    scene = make_scene()
    scene.faults.add(scene.POST, DiscordErrorFault(429, 0))
    await scene.deliver(scene.answered("Here."))
    assert {bucket for bucket, _ in scene.delivery.blocked} == {"discord:all", scene.post_bucket}


async def test_a_post_that_is_not_answered_in_time_may_have_been_done() -> None:
    connected = set[asyncio.StreamWriter]()
    silent = await asyncio.start_server(lambda _, writer: connected.add(writer), "127.0.0.1", 0)
    address = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    settings = DiscordSettings.model_validate({"discord_bot_token": TOKEN, "discord_api_url": address})
    client = DiscordClient(settings, timeout=0.1)
    with pytest.raises(OutcomeUnknown):
        await client.call("POST messages", "/channels/1/messages", body={"content": "Here."})
    assert len(connected) == 1
    await client.close()
    for writer in connected:
        writer.close()
    silent.close()
