"""All routes below ``/v1``. Loaded when the first request for one comes: 3 MB, which many processes never need."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.openai_api import not_served, program_routes
from adapters.openai_api.assistants import routes as assistant_routes
from adapters.openai_api.assistants.context import AssistantsContext
from adapters.openai_api.assistants.running import RunningTurns
from adapters.openai_api.assistants.thread_reads import ThreadReads
from adapters.openai_api.context import ApiContext, KeptObjects
from adapters.openai_api.directory import AssistantDirectory
from adapters.openai_api.files.file_routes import FileRoutes
from adapters.openai_api.files.server_files import ServerFiles
from adapters.openai_api.files.vector_store_routes import VectorStoreRoutes
from adapters.openai_api.inline_files import InlineFileKeeper
from adapters.openai_api.uploaded_files import UploadedFiles
from gateway.web.api.routes import Route


def all_routes(
    context: ApiContext,
    kept: KeptObjects,
    directory: AssistantDirectory,
    uploaded_files: UploadedFiles,
    inline_files: InlineFileKeeper,
    running: RunningTurns,
    reads: ThreadReads,
    *,
    opens_unknown_threads: bool,
) -> Sequence[Route]:
    """Returns them with paths below PREFIX."""
    server_files = ServerFiles(context.inbox, uploaded_files, directory)
    assistants_context = AssistantsContext(
        *(context, kept.objects, directory, uploaded_files, server_files, running, reads),
        opens_unknown_threads=opens_unknown_threads,
    )
    programs = program_routes.routes(context, kept, inline_files, directory)
    files = FileRoutes(context, uploaded_files, server_files)
    stores = VectorStoreRoutes(context, server_files)
    served = (*assistant_routes.routes(assistants_context), *programs, *files.routes(), *stores.routes())
    return (*served, *not_served.routes())
