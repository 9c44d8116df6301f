"""The settings of the core: server, database, assistant, limits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator

from gateway.settings.base import EnvironmentSettings
from gateway.settings.values import ONLINE, Backend, Key, check_base_url, check_time_zone

OPENAI_HOST = "api.openai.com"
AZURE_DOMAIN = ".azure.com"
TRANSCRIPTION_MODEL = "gpt-4o-mini-transcribe"
"""developers.openai.com/api/docs/guides/speech-to-text"""


class Settings(EnvironmentSettings):
    """Settings of the core: server, database, assistant, limits."""

    prefixes = ("OPENAI_", "AZURE_OPENAI_", "ASSISTANT_", "ASST_")
    foreign_variables = frozenset(
        {
            *("OPENAI_ADMIN_KEY", "OPENAI_API_TYPE", "OPENAI_API_VERSION", "OPENAI_CUSTOM_HEADERS", "OPENAI_LOG"),
            *("OPENAI_ORG_ID", "OPENAI_ORGANIZATION", "OPENAI_PROJECT_ID", "OPENAI_WEBHOOK_SECRET"),
            "AZURE_OPENAI_AD_TOKEN",
        }
    )

    lists: ClassVar[Mapping[str, str]] = {"openai_tools": ",", "openai_vector_store_ids": ","}
    environment_only = frozenset({"gateway_config"})

    gateway_config: Path | None = None
    """A file with settings, assistants, routes and bots. Unset: ``gateway.toml`` in the working directory, if it is
    there."""
    host: str = "0.0.0.0"  # noqa: S104  # platforms must reach it
    """The address to listen on."""
    port: int = Field(8080, ge=0, le=65535)
    """The port to listen on; 0: any free one."""
    max_waiting_callers: PositiveInt = Field(
        10_000, validation_alias=AliasChoices("max_waiting_callers", "web_threads")
    )
    """How many callers of ``/chat`` may wait for a reply in one process at the same time."""
    database_url: str = "sqlite:///gateway.db"
    """``sqlite:///file``, or ``postgresql+psycopg://…`` for more than one process."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe log entries that are written."""
    log_format: Literal["text", "json"] = "text"
    """Log entries as text or as one JSON object per line."""

    assistant_backend: Backend | None = None
    """Which API the assistant is called with, or a backend of a package. Unset: it follows from what else is set."""
    openai_api_key: Key | None = None
    """The key for OpenAI, or for the server at ``OPENAI_BASE_URL``."""
    openai_base_url: str | None = None
    """Another server that speaks OpenAI's API, such as ``http://localhost:11434/v1``."""
    openai_model: str | None = None
    """The model. Servers other than OpenAI's need it; at OpenAI there is a default."""
    openai_temperature: float | None = Field(None, ge=0.0, le=2.0)
    """How much the wording may vary, from 0 to 2. Not every model takes it."""
    openai_top_p: float | None = Field(None, ge=0.0, le=1.0)
    """The share of likely words that the model chooses from, from 0 to 1. Not every model takes it."""
    openai_reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    """How much the model thinks before it answers. Each model takes some of these."""
    openai_verbosity: Literal["low", "medium", "high"] | None = None
    """How long the answers are. Not for ``threads``."""
    openai_tools: str = ""
    """Hosted tools of the Responses API, comma-separated: ``web_search``, ``file_search``, ``code_interpreter``,
    ``image_generation``."""
    openai_vector_store_ids: str = ""
    """The vector stores that ``file_search`` searches, comma-separated."""
    openai_transcription_model: str | None = None
    """The model that transcribes voice notes. Unset: ``gpt-4o-mini-transcribe`` at OpenAI, none at other servers, which
    may not have one."""
    assistant_id: str | None = Field(None, validation_alias=AliasChoices("assistant_id", "asst_id"))
    """The assistant that ``threads`` runs, at a server that still has the Assistants API. Unset: one is created for
    ``OPENAI_MODEL`` once, and its id is stored. At OpenAI and Azure, which removed that API: the id by which programs
    at ``/v1`` still find the gateway's assistant."""
    azure_openai_api_key: Key | None = None
    """The key for Azure OpenAI. Azure needs all three ``AZURE_OPENAI_`` variables, and ``OPENAI_MODEL`` for the
    deployment."""
    azure_openai_endpoint: str | None = None
    """The address of the Azure resource, such as ``https://name.openai.azure.com``."""
    azure_openai_api_version: str | None = None
    """The version of Azure's API."""
    assistant_instructions: str = "You are a helpful assistant in a chat. Answer in the language you are spoken to."
    """The system prompt. ``{{platform}}``, ``{{channel_name}}``, ``{{user_name}}``, ``{{date}}`` and ``{{assistant}}``
    are filled in for each message."""
    assistant_name: str = Field("Assistant", max_length=60)
    """What ``{{assistant}}`` in the instructions stands for."""
    assistant_time_zone: str = "UTC"
    """The time zone of ``{{date}}`` in the instructions: an IANA name such as ``Europe/Berlin``."""
    assistant_mode: Literal["stream", "poll"] = "stream"
    """How ``threads`` follows a run: by its event stream, or by polling."""
    assistant_poll_seconds: PositiveFloat = 1.0
    """Seconds between two polls of a run. A server's header ``openai-poll-after-ms`` takes precedence."""
    assistant_timeout_seconds: PositiveFloat = 600.0
    """How long one turn may take, in seconds."""
    tools_path: Path | None = None
    """A folder with Python files whose functions the assistant may call, see ``gateway/tools/README.md``."""
    tool_timeout_seconds: PositiveFloat = 30.0
    """How long one call of a function tool may take, in seconds."""
    approval_minutes: PositiveFloat = 60.0
    """How long people may take to decide about a call of a tool that they have to approve."""
    history_chars: PositiveInt = 48_000
    """How many characters of the conversation are sent along with a message where the server keeps none: by ``chat``,
    and by ``responses`` at servers without conversations."""
    max_turn_tokens: PositiveInt = 1_000_000
    """Tokens of one turn after which the assistant may call no more tools, as a loop of calls may have no end."""
    max_turn_cost: NonNegativeFloat = 5.0
    """What one turn may cost, in the currency of the prices, before the assistant may call no more tools; 0: no
    limit."""
    assistant_show_reasoning: bool = False
    """Whether people see what a model thought, where its server tells."""

    max_message_chars: PositiveInt = 32_000
    """The longest message that ``/chat`` accepts, in characters."""
    max_reply_chars: PositiveInt = 200_000
    """The longest reply, in characters. A longer one is cut, with a line that says so, and its run is stopped."""
    max_message_file_bytes: PositiveInt = 50 * 2**20
    """The largest size of all files of one message together, in bytes; the assistant is told of those beyond it."""
    max_file_bytes_in_flight: PositiveInt = 500_000_000
    """How many bytes of files one process keeps at the same time, on disk. Further messages wait, at most two minutes;
    then they go on without their files."""
    spool_folder: str | None = None
    """Where files are kept until their turn ends. Unset: the system's folder for temporary files. A folder in memory
    (``tmpfs``) counts as memory of the process in most containers."""
    max_runs: PositiveInt = 2000
    """Turns that one process runs at the same time."""
    max_backlog: PositiveInt = 100
    """Unfinished turns that one conversation may have."""
    max_queue: PositiveInt = 10_000
    """Unfinished turns that there may be in total."""
    max_queue_per_platform: PositiveInt = 5_000
    """How many unfinished turns one platform may have."""
    max_caller_share: float = Field(0.8, gt=0.0, le=1.0)
    """The part of MAX_RUNS, MAX_QUEUE_PER_PLATFORM and MAX_WAITING_CALLERS that one caller may take of what the others
    leave: an API key of ``/chat`` (without keys: an address), or a person. The rest is for others; 1: no limit."""
    max_workspace_share: float = Field(0.9, gt=0.0, le=1.0)
    """The part of MAX_RUNS and MAX_QUEUE_PER_PLATFORM that one workspace may take of what the others leave: a server of
    Discord, or a Slack workspace where several can install the app (SLACK_CLIENT_ID). MAX_CALLER_SHARE is then the part
    of that which one of its people may take. 1: no limit."""
    retention_days: NonNegativeFloat = 0.0
    """Days after which messages and replies are deleted; 0: they are kept."""
    grace_seconds: PositiveFloat = 25.0
    """Seconds that a process has to finish its work when it is stopped."""

    @field_validator("spool_folder")
    @classmethod
    def _is_writable(cls, folder: str | None) -> str | None:
        if folder is not None and not (os.access(folder, os.W_OK | os.X_OK) and Path(folder).is_dir()):
            raise ValueError("names a folder that does not exist, or that this process may not write to")
        return folder

    @field_validator("assistant_time_zone")
    @classmethod
    def _is_time_zone(cls, name: str) -> str:
        return check_time_zone(name)

    @field_validator("openai_base_url", "azure_openai_endpoint")
    @classmethod
    def _is_base_url(cls, url: str | None) -> str | None:
        return check_base_url(url)

    @property
    def backend(self) -> str:
        """The chosen backend, else the one that follows from the other settings."""
        if self.assistant_backend is not None:
            return self.assistant_backend
        if self.assistant_id and not self.has_no_assistants_api:
            return "threads"
        if self.azure_openai_endpoint or self.azure_openai_api_key:
            return "chat"
        if self._is_elsewhere:
            return "chat"
        return "responses" if self.openai_api_key else "offline"

    @property
    def transcription_model(self) -> str:
        """The model that transcribes recordings; empty when there is none."""
        if self.openai_transcription_model is not None:
            return self.openai_transcription_model
        return "" if self.azure_openai_endpoint or self._is_elsewhere else TRANSCRIPTION_MODEL

    @property
    def has_no_assistants_api(self) -> bool:
        """Whether the server is OpenAI's or Azure's own: both removed the Assistants API on 2026-08-26
        (developers.openai.com/api/docs/deprecations).
        """
        if self.azure_openai_endpoint:
            return (urlsplit(self.azure_openai_endpoint).hostname or "").endswith(AZURE_DOMAIN)
        return not self._is_elsewhere

    @property
    def _is_elsewhere(self) -> bool:
        return bool(self.openai_base_url) and urlsplit(self.openai_base_url).hostname != OPENAI_HOST

    def missing(self) -> tuple[str, ...]:
        """Returns the variables that the backend needs and that are not set."""
        if self.backend not in ONLINE:
            return ()
        azure = {
            "AZURE_OPENAI_API_KEY": self.azure_openai_api_key,
            "AZURE_OPENAI_ENDPOINT": self.azure_openai_endpoint,
            "AZURE_OPENAI_API_VERSION": self.azure_openai_api_version,
        }
        needed: dict[str, object] = {"OPENAI_API_KEY": self.openai_api_key}
        if any(azure.values()):
            needed = dict(azure)
        elif self.openai_base_url:
            needed = {}  # a self-hosted server may need no key
        if self.backend == "threads":
            needed["ASST_ID (or OPENAI_MODEL)"] = self.assistant_id or self.openai_model
        elif self.openai_base_url or any(azure.values()):
            needed["OPENAI_MODEL"] = self.openai_model
        return tuple(name for name, value in needed.items() if not value)
