"""The core's settings, and the base class of all settings. Nothing else reads the environment.

A variable is read from the environment, the file that ``<NAME>_FILE`` names, or ``.env``, in this order.
An empty variable counts as unset.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, NonNegativeFloat, PositiveFloat, PositiveInt, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from gateway.domain.errors import SettingsError

BackendName = Literal["responses", "threads", "chat", "offline"]
OPENAI_HOST = "api.openai.com"
TRANSCRIPTION_MODEL = "gpt-4o-mini-transcribe"
"""developers.openai.com/api/docs/guides/speech-to-text"""


class TokenPattern(NamedTuple):
    """What a platform's tokens look like, so that the log also masks those that no setting holds."""

    hint: str
    """A string that every such token contains, which is much cheaper to look for than the pattern."""
    pattern: re.Pattern[str]
    replacement: str = "***"


class FileSource(EnvSettingsSource):
    """Source that reads ``X`` from the file that ``X_FILE`` names, as container platforms provide secrets."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        for key, name, is_complex in self._extract_field_info(field, field_name):
            path = self.env_vars.get(f"{name}_file")
            if path:
                return self._read(name, path), key, is_complex
        return None, field_name, False

    @staticmethod
    def _read(name: str, path: str) -> str:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            reason = getattr(exc, "strerror", None) or "it is not UTF-8 text"
            message = f"{name.upper()}_FILE names {path}, which cannot be read: {reason}."
            raise SettingsError(message) from exc


class EnvironmentSettings(BaseSettings):
    """Base of settings: subclass it next to what it configures and call ``load``."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    token_patterns: ClassVar[tuple[TokenPattern, ...]] = ()
    """Tokens that the log must mask wherever they appear; ``app.load_settings`` passes them to ``logs.configure``."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # a folder of secrets: not supported
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, FileSource(settings_cls), dotenv_settings

    @classmethod
    def load(cls) -> Self:
        """Reads the settings. Raises SettingsError, which names each wrong variable without its value."""
        try:
            return cls()
        except SourceError as exc:  # wraps what a source raised, such as FileSource
            raise (exc.__cause__ if isinstance(exc.__cause__, SettingsError) else SettingsError(str(exc))) from None
        except ValidationError as exc:
            raise SettingsError("\n".join(_format_error(error) for error in exc.errors(include_input=False))) from None

    def secrets(self) -> tuple[str, ...]:
        """Returns every secret value in these settings, for the log to mask."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return tuple(value.get_secret_value() for value in values if isinstance(value, SecretStr))


def _format_error(error: Any) -> str:
    variable = str(error["loc"][0]).upper() if error["loc"] else "The settings"
    return f"{variable}: {error['msg'].removeprefix('Value error, ')}."


class Settings(EnvironmentSettings):
    """Settings of the core: server, database, assistant, limits."""

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

    assistant_backend: BackendName | None = None
    """Which API the assistant is called with. Unset: it follows from what else is set."""
    openai_api_key: SecretStr | None = None
    """The key for OpenAI, or for the server at ``OPENAI_BASE_URL``."""
    openai_base_url: str | None = None
    """Another server that speaks OpenAI's API, such as ``http://localhost:11434/v1``."""
    openai_model: str | None = None
    """The model. Servers other than OpenAI's need it; at OpenAI there is a default."""
    openai_tools: str = ""
    """Hosted tools of the Responses API, comma-separated: ``web_search``, ``file_search``, ``code_interpreter``,
    ``image_generation``."""
    openai_vector_store_ids: str = ""
    """The vector stores that ``file_search`` searches, comma-separated."""
    openai_transcription_model: str | None = None
    """The model that transcribes voice notes. Unset: ``gpt-4o-mini-transcribe`` at OpenAI, none at other servers, which
    may not have one."""
    assistant_id: str | None = Field(None, validation_alias=AliasChoices("assistant_id", "asst_id"))
    """The assistant that ``threads`` runs. Unset: one is created for ``OPENAI_MODEL`` once, and its id is stored."""
    azure_openai_api_key: SecretStr | None = None
    """The key for Azure OpenAI. Azure needs all three ``AZURE_OPENAI_`` variables, and ``OPENAI_MODEL`` for the
    deployment."""
    azure_openai_endpoint: str | None = None
    """The address of the Azure resource, such as ``https://name.openai.azure.com``."""
    azure_openai_api_version: str | None = None
    """The version of Azure's API."""
    assistant_instructions: str = "You are a helpful assistant in a chat. Answer in the language you are spoken to."
    """The system prompt."""
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
    history_chars: PositiveInt = 48_000
    """How many characters of the conversation are sent along with a message where the server keeps none: by ``chat``,
    and by ``responses`` at servers without conversations."""
    max_turn_tokens: PositiveInt = 1_000_000
    """Tokens of one turn after which the assistant may call no more tools, as a loop of calls may have no end."""
    assistant_show_reasoning: bool = False
    """Whether people see what a model thought, where its server tells."""

    max_message_chars: PositiveInt = 32_000
    """The longest message that ``/chat`` accepts, in characters."""
    max_runs: PositiveInt = 2000
    """Turns that one process runs at the same time."""
    max_backlog: PositiveInt = 100
    """Unfinished turns that one conversation may have."""
    max_queue: PositiveInt = 10_000
    """Unfinished turns that there may be in total."""
    max_queue_per_platform: PositiveInt = 5_000
    """How many unfinished turns one platform may have."""
    retention_days: NonNegativeFloat = 0.0
    """Days after which messages and replies are deleted; 0: they are kept."""
    grace_seconds: PositiveFloat = 25.0
    """Seconds that a process has to finish its work when it is stopped."""

    @property
    def backend(self) -> BackendName:
        """The chosen backend, else the one that follows from the other settings."""
        if self.assistant_backend is not None:
            return self.assistant_backend
        if self.assistant_id:
            return "threads"
        if self.azure_openai_endpoint or self.azure_openai_api_key:
            return "chat"
        if self.openai_base_url and urlsplit(self.openai_base_url).hostname != OPENAI_HOST:
            return "chat"
        return "responses" if self.openai_api_key else "offline"

    @property
    def transcription_model(self) -> str:
        """The model that transcribes recordings; empty when there is none."""
        if self.openai_transcription_model is not None:
            return self.openai_transcription_model
        elsewhere = self.azure_openai_endpoint or (
            self.openai_base_url and urlsplit(self.openai_base_url).hostname != OPENAI_HOST
        )
        return "" if elsewhere else TRANSCRIPTION_MODEL

    def missing(self) -> tuple[str, ...]:
        """Returns the variables that the backend needs and that are not set."""
        if self.backend == "offline":
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
