"""The bodies of the Assistants API: platform.openai.com/docs/api-reference/assistants, .../threads, .../runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from adapters.openai_api.content_parts import Several, Text
from adapters.openai_api.functions import FunctionName, FunctionSchema
from adapters.openai_api.request_fields import Effort, Metadata, Proportion, Refusing, ResponseFormat, Temperature

MAX_INSTRUCTIONS = 256_000
MAX_TOOLS = 128

InstructionsText = Annotated[Text, Field(max_length=MAX_INSTRUCTIONS)]


class AssistantFunction(FunctionSchema, Refusing):
    pass


class AssistantFunctionTool(Refusing):
    type: Literal["function"]
    function: AssistantFunction


class CodeInterpreterTool(Refusing):
    type: Literal["code_interpreter"]


class FileSearchSettings(Refusing):
    max_num_results: Annotated[int, Field(ge=1, le=50)] | None = None
    ranking_options: dict[str, Any] | None = None


class FileSearchTool(Refusing):
    type: Literal["file_search"]
    file_search: FileSearchSettings | None = None


AssistantTool = Annotated[AssistantFunctionTool | CodeInterpreterTool | FileSearchTool, Field(discriminator="type")]
AssistantTools = Annotated[list[AssistantTool], Field(max_length=MAX_TOOLS, fail_fast=True)]


class CodeInterpreterResources(Refusing):
    file_ids: Annotated[list[Text], Field(max_length=20)] | None = None


class FileSearchResources(Refusing):
    vector_store_ids: Annotated[list[Text], Field(max_length=1)] | None = None


class ToolResources(Refusing):
    code_interpreter: CodeInterpreterResources | None = None
    file_search: FileSearchResources | None = None


class NamedFunction(Refusing):
    name: FunctionName


class ChosenTool(Refusing):
    type: Literal["function", "code_interpreter", "file_search"]
    function: NamedFunction | None = None

    @model_validator(mode="after")
    def _names_a_function(self) -> ChosenTool:
        if (self.type == "function") is (self.function is None):
            raise ValueError("a `function` is named with the type function, and with no other")
        return self


RunToolChoice = Literal["none", "auto", "required"] | ChosenTool


class Sampling(Refusing):
    """How a model is to answer."""

    temperature: Temperature | None = None
    top_p: Proportion | None = None
    response_format: Literal["auto"] | ResponseFormat | None = None
    reasoning_effort: Effort | None = None


class AssistantChange(Sampling):
    model: Annotated[Text, Field(min_length=1, max_length=256)] | None = None
    name: Annotated[Text, Field(max_length=256)] | None = None
    description: Annotated[Text, Field(max_length=512)] | None = None
    instructions: InstructionsText | None = None
    tools: AssistantTools | None = None
    tool_resources: ToolResources | None = None
    metadata: Metadata | None = None


class AssistantRequest(AssistantChange):
    model: Annotated[Text, Field(min_length=1, max_length=256)]


class MessageTextPart(Refusing):
    type: Literal["text"]
    text: Text


class MessageImageUrl(Refusing):
    url: str
    detail: Literal["auto", "low", "high"] | None = None


class MessageImageUrlPart(Refusing):
    type: Literal["image_url"]
    image_url: MessageImageUrl


class MessageImageFile(Refusing):
    file_id: Text
    detail: Literal["auto", "low", "high"] | None = None


class MessageImageFilePart(Refusing):
    type: Literal["image_file"]
    image_file: MessageImageFile


MessageContentPart = Annotated[
    MessageTextPart | MessageImageUrlPart | MessageImageFilePart, Field(discriminator="type")
]


class AttachmentTool(Refusing):
    type: Literal["code_interpreter", "file_search"]


class MessageAttachment(Refusing):
    file_id: Text
    tools: Several[AttachmentTool] | None = None


class MessageRequest(Refusing):
    role: Literal["user", "assistant"]
    content: Annotated[Text, Field(min_length=1)] | Annotated[Several[MessageContentPart], Field(min_length=1)]
    attachments: Several[MessageAttachment] | None = None
    metadata: Metadata | None = None

    @property
    def listed(self) -> list[MessageContentPart]:
        """The parts of the content; none if it is a text."""
        return [] if isinstance(self.content, str) else self.content

    @property
    def given(self) -> list[MessageAttachment]:
        return self.attachments or []

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, MessageTextPart))

    @property
    def parts(self) -> list[dict[str, Any]]:
        """The content as a message shows it."""
        given = [MessageTextPart(type="text", text=self.content)] if isinstance(self.content, str) else self.content
        return [
            {"type": "text", "text": {"value": part.text, "annotations": []}}
            if isinstance(part, MessageTextPart)
            else part.model_dump(exclude_none=True)
            for part in given
        ]


class MetadataChange(Refusing):
    metadata: Metadata | None = None


class ThreadChange(MetadataChange):
    tool_resources: ToolResources | None = None


class ThreadRequest(ThreadChange):
    messages: Several[MessageRequest] | None = None


class TruncationStrategy(Refusing):
    type: Literal["auto", "last_messages"]
    last_messages: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _counts_messages(self) -> TruncationStrategy:
        if self.type == "last_messages" and self.last_messages is None:
            raise ValueError("`last_messages` says how many, with the type last_messages")
        return self


class RunFields(Sampling):
    """What a run may say otherwise than its assistant."""

    assistant_id: Annotated[Text, Field(min_length=1)]
    model: Annotated[Text, Field(min_length=1, max_length=256)] | None = None
    instructions: InstructionsText | None = None
    tools: AssistantTools | None = None
    metadata: Metadata | None = None
    stream: bool | None = None
    max_prompt_tokens: Annotated[int, Field(ge=256)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    truncation_strategy: TruncationStrategy | None = None
    tool_choice: RunToolChoice | None = None
    parallel_tool_calls: bool | None = None


class RunRequest(RunFields):
    additional_instructions: InstructionsText | None = None
    additional_messages: Several[MessageRequest] | None = None


class ThreadAndRunRequest(RunFields):
    thread: ThreadRequest | None = None
    tool_resources: ToolResources | None = None

    def as_run(self) -> RunRequest:
        """Returns the run, without the messages of the new thread."""
        return RunRequest.model_validate(self.model_dump(exclude={"thread", "tool_resources"}, exclude_none=True))


class ToolOutput(Refusing):
    tool_call_id: Text
    output: Text = ""


class ToolOutputsRequest(Refusing):
    tool_outputs: Several[ToolOutput]
    stream: bool | None = None

    @field_validator("tool_outputs")
    @classmethod
    def _each_once(cls, given: list[ToolOutput]) -> list[ToolOutput]:
        names = [each.tool_call_id for each in given]
        if len(set(names)) < len(names):
            raise ValueError("two outputs are for the same tool_call_id")
        return given
