"""The bodies of the Assistants API: platform.openai.com/docs/api-reference/assistants, .../threads, .../runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from adapters.openai_api.content_parts import Text
from adapters.openai_api.request_fields import Metadata, Share, Temperature

MAX_INSTRUCTIONS = 256_000
MAX_TOOLS = 128

Instructions = Annotated[Text, Field(max_length=MAX_INSTRUCTIONS)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
FunctionName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.\-]{1,64}$")]


class Body(BaseModel):
    """Fields that are not here are refused by name."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Function(Body):
    name: FunctionName
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(Body):
    type: Literal["function"]
    function: Function


class CodeInterpreterTool(Body):
    type: Literal["code_interpreter"]


class FileSearchTool(Body):
    type: Literal["file_search"]
    file_search: dict[str, Any] | None = None


Tool = Annotated[FunctionTool | CodeInterpreterTool | FileSearchTool, Field(discriminator="type")]
Tools = Annotated[list[Tool], Field(max_length=MAX_TOOLS)]


class CodeInterpreterResources(Body):
    file_ids: Annotated[list[Text], Field(max_length=20)] | None = None


class FileSearchResources(Body):
    vector_store_ids: Annotated[list[Text], Field(max_length=1)] | None = None


class ToolResources(Body):
    code_interpreter: CodeInterpreterResources | None = None
    file_search: FileSearchResources | None = None


class NamedFunction(Body):
    name: FunctionName


class ChosenTool(Body):
    type: Literal["function", "code_interpreter", "file_search"]
    function: NamedFunction | None = None


ToolChoice = Literal["none", "auto", "required"] | ChosenTool


class ResponseFormat(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    type: Literal["text", "json_object", "json_schema"]


class Sampling(Body):
    """How a model is to answer."""

    temperature: Temperature | None = None
    top_p: Share | None = None
    response_format: Literal["auto"] | ResponseFormat | None = None
    reasoning_effort: Effort | None = None


class AssistantChange(Sampling):
    model: Annotated[Text, Field(min_length=1, max_length=256)] | None = None
    name: Annotated[Text, Field(max_length=256)] | None = None
    description: Annotated[Text, Field(max_length=512)] | None = None
    instructions: Instructions | None = None
    tools: Tools | None = None
    tool_resources: ToolResources | None = None
    metadata: Metadata | None = None


class AssistantRequest(AssistantChange):
    model: Annotated[Text, Field(min_length=1, max_length=256)]


class TextPart(Body):
    type: Literal["text"]
    text: Text


class ImageUrl(Body):
    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ImageUrlPart(Body):
    type: Literal["image_url"]
    image_url: ImageUrl


class ImageFile(Body):
    file_id: Text
    detail: Literal["auto", "low", "high"] | None = None


class ImageFilePart(Body):
    type: Literal["image_file"]
    image_file: ImageFile


Part = Annotated[TextPart | ImageUrlPart | ImageFilePart, Field(discriminator="type")]


class AttachmentTool(Body):
    type: Literal["code_interpreter", "file_search"]


class Attachment(Body):
    file_id: Text
    tools: list[AttachmentTool] | None = None


class MessageRequest(Body):
    role: Literal["user", "assistant"]
    content: Annotated[Text, Field(min_length=1)] | Annotated[list[Part], Field(min_length=1)]
    attachments: list[Attachment] | None = None
    metadata: Metadata | None = None

    @property
    def listed(self) -> list[Part]:
        """The parts of the content; none if it is a text."""
        return [] if isinstance(self.content, str) else self.content

    @property
    def given(self) -> list[Attachment]:
        return self.attachments or []

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))

    @property
    def parts(self) -> list[dict[str, Any]]:
        """The content as a message shows it."""
        given = [TextPart(type="text", text=self.content)] if isinstance(self.content, str) else self.content
        return [
            {"type": "text", "text": {"value": part.text, "annotations": []}}
            if isinstance(part, TextPart)
            else part.model_dump(exclude_none=True)
            for part in given
        ]


class MetadataChange(Body):
    metadata: Metadata | None = None


class ThreadChange(MetadataChange):
    tool_resources: ToolResources | None = None


class ThreadRequest(ThreadChange):
    messages: list[MessageRequest] | None = None


class TruncationStrategy(Body):
    type: Literal["auto", "last_messages"]
    last_messages: Annotated[int, Field(ge=1)] | None = None


class RunFields(Sampling):
    """What a run may say otherwise than its assistant."""

    assistant_id: Annotated[Text, Field(min_length=1)]
    model: Annotated[Text, Field(min_length=1, max_length=256)] | None = None
    instructions: Instructions | None = None
    tools: Tools | None = None
    metadata: Metadata | None = None
    stream: bool | None = None
    max_prompt_tokens: Annotated[int, Field(ge=256)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    truncation_strategy: TruncationStrategy | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None


class RunRequest(RunFields):
    additional_instructions: Instructions | None = None
    additional_messages: list[MessageRequest] | None = None


class ThreadAndRunRequest(RunFields):
    thread: ThreadRequest | None = None
    tool_resources: ToolResources | None = None

    def as_run(self) -> RunRequest:
        """Returns the run, without the messages of the new thread."""
        return RunRequest.model_validate(self.model_dump(exclude={"thread", "tool_resources"}, exclude_none=True))


class ToolOutput(Body):
    tool_call_id: Text
    output: Text = ""


class ToolOutputsRequest(Body):
    tool_outputs: list[ToolOutput]
    stream: bool | None = None

    @model_validator(mode="after")
    def _each_once(self) -> ToolOutputsRequest:
        names = [each.tool_call_id for each in self.tool_outputs]
        if len(set(names)) < len(names):
            raise ValueError("two outputs are for the same tool_call_id")
        return self
