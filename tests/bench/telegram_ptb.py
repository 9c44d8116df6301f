"""Baseline: python-telegram-bot's Application, threads in a dict, the assistant called in the handler.

Favourable to the library: updates are processed concurrently, clients are created once, one call gets the reply,
updates are neither stored nor deduplicated, and Telegram's rate limit is ignored. As in the library's own example of a
custom webhook, an update is acknowledged when it is in the in-memory queue; aiohttp serves it.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import openai
from aiohttp import web
from telegram import Update
from telegram.ext import Application, ContextTypes, MessageHandler, filters

from tests.fakes.telegram_messages import TOKEN


def make_bot(openai_url: str, telegram_url: str) -> Application[Any, Any, Any, Any, Any, Any]:
    assistant = openai.AsyncOpenAI(api_key="sk-test", base_url=openai_url)
    threads: dict[int, str] = {}

    async def answer(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        if update.message is None or update.message.text is None:
            return
        chat = update.message.chat_id
        said = await assistant.responses.create(
            model="gpt-test", input=update.message.text, previous_response_id=threads.get(chat)
        )
        threads[chat] = said.id
        await update.message.reply_text(said.output_text)

    built = Application.builder().token(TOKEN).base_url(f"{telegram_url}/bot").updater(None).concurrent_updates(True)  # noqa: FBT003  # the library's own way to say so
    application = built.build()
    application.add_handler(MessageHandler(filters.TEXT, answer))
    return application


async def main(openai_url: str, telegram_url: str) -> None:
    application = make_bot(openai_url, telegram_url)

    async def receive(request: web.Request) -> web.Response:
        await application.update_queue.put(Update.de_json(await request.json(), application.bot))
        return web.Response()

    site = web.Application()
    site.router.add_post("/telegram/webhook", receive)
    async with application:
        await application.start()
        runner = web.AppRunner(site, access_log=None)
        await runner.setup()
        listener = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
        await listener.start()
        print(f"Listening on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
