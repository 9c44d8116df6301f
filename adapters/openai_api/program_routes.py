"""The routes of chat completions, responses, conversations and models."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.openai_api.asking import Asking
from adapters.openai_api.completion_routes import CompletionRoutes
from adapters.openai_api.context import ApiContext, KeptObjects
from adapters.openai_api.conversation_routes import ConversationRoutes
from adapters.openai_api.conversations import Conversations
from adapters.openai_api.directory import AssistantDirectory
from adapters.openai_api.inline_files import InlineFileKeeper
from adapters.openai_api.item_references import ItemReferences
from adapters.openai_api.model_routes import ModelRoutes
from adapters.openai_api.request_body import BodyReader
from adapters.openai_api.response_routes import ResponseRoutes
from gateway.web.api.routes import Route


def routes(
    context: ApiContext, kept: KeptObjects, files: InlineFileKeeper, directory: AssistantDirectory
) -> Sequence[Route]:
    limits = context.limits
    asking = Asking(context.inbox, context.waiters, context.attempts, kept.memory, limits)
    conversations = Conversations(context.inbox, kept.objects, context.attempts)
    references = ItemReferences(conversations)
    bodies, most = BodyReader(), limits.max_message_chars
    shared = (context.callers, asking, bodies, files)
    return (
        *CompletionRoutes(*shared, conversations, directory, most).routes(),
        *ResponseRoutes(*shared, conversations, references, directory, most).routes(),
        *ConversationRoutes(context.callers, asking, conversations, references).routes(),
        *ModelRoutes(context.callers, directory).routes(),
    )
