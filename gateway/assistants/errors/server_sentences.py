"""What servers write when they refuse a request: one table per meaning, with where each sentence was read.

A sentence is searched in "code message", without regard to case. Servers change their words, so each table has a last
resort where it is used: an unknown refusal of a request with a long history is tried with a shorter one, an unknown
refusal of a known field without the field, and any other is told to the person as one sentence.
"""

from __future__ import annotations

import re


def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)


REFUSED = (
    r"(?:(?:not|n't|cannot|never)(?: \w+){0,2} (?:support\w*|enabled?|available|allow\w*|permit\w*|have|"
    r"implemented|accept\w*|use)|un(?:supported|available)|disabled|no (?:native )?(?:support|endpoints?))"
)


def _refused(subject: str) -> str:
    """Returns the pattern of a subject with a refusal near it in one sentence, in either order."""
    return rf"{subject}[^.]{{0,60}}{REFUSED}|{REFUSED}[^.]{{0,60}}{subject}"


TOO_LONG = _any_of(
    r"context[ _]length[ _]exceeded|maximum context length|exceeds? the context (?:window|length)",  # OpenAI, vLLM
    r"context[ _]?window[ _]?exceeded",  # LiteLLM
    r"request too large for|string_above_max_length|tokens_limit_reached|request_too_large",  # OpenAI, GitHub Models
    r"exceed_context_size|exceeds? the available context size|context size has been exceeded",  # llama.cpp
    r"exceeds? (?:the )?(?:model'?s? )?context (?:window|length|size)|context (?:length|window) of only",  # LM Studio
    r"when (?:the )?context (?:the )?overflows|greater than the context length|exceed context window of",  # LM Studio
    r"prompt is too long|input is too long|input length (?:and|exceeds)|prompt too long",  # Anthropic, Bedrock, Ollama
    r"(?:input )?token count \S* ?exceeds the maximum",  # Gemini
    r"too large for model with \d+ maximum context|maximum prompt length is \d+",  # Mistral, xAI
    r"reduce (?:the length of|your) (?:the )?(?:messages|prompt|input)|context window exceeds limit",  # Groq, MiniMax
    r"range of input length should be|exceeded model token limit|prompt exceeds max length",  # Qwen, Kimi, GLM
    r"must have less than \d+ tokens|\+ `?max_new_tokens`? must be|too many tokens: total",  # TGI, Cohere
    r"current length is \d+ while limit is|longer than the maximum|input tokens? exceed|context overflow",  # Cerebras
    r"too many input tokens|max(?:imum)? input (?:tokens|characters)|prompt tokens too long|超长",  # Bedrock, Baidu
    r"larger than the max(?:imum)? context|max_seq_len|longer than the model'?s? context",  # llama.cpp, SGLang
    r"input length \d+ exceeds|exceeds? the maximum length|context window limit",  # Doubao, Cloudflare
    r"exceeds? the (?:token )?limit of \d+|exceeds? (?:the )?(?:maximum )?(?:number of )?(?:input )?tokens",  # Copilot
    # What is not known by its words: something that is sent, and that there is too much of it.
    r"(?<!max_)(?<!image )(?<!file )\b(?:context|prompt|input|conversation|messages?|history|tokens?)(?: \w+){0,4} "
    r"(?:exceed\w*|(?:is|are) too (?:long|large|big)|overflow\w*|(?:is )?full\b)",
    r"exceed\w* (?:the |model )?(?:\w+ ){0,2}(?:context|token limit)\b",
)
"""Collected in github.com/earendil-works/pi (packages/ai, overflow patterns) and github.com/BerriAI/litellm."""

FILTERED = _any_of(
    r"content[ _]?filter|content[ _]?(?:management )?policy|invalid_prompt|_policy|responsible ?ai",  # OpenAI, Azure
    r"moderation|was flagged|flagged (?:by|as|for)|input_flagged",  # OpenRouter: 403 (openrouter.ai/docs, "Errors")
    r"\bsafety\b|PROHIBITED_CONTENT|\bBLOCKLIST\b|\bRECITATION\b",  # Gemini
    r"blocked (?:by|due to|for) (?:the |our )?(?:safety|content|policy|policies|prompt|guard)",  # proxies
    r"data_?inspection_?failed|inappropriate content|content exists risk|sensitive (?:content|words)",  # Qwen, DeepSeek
    r"risk control|high risk|usage guidelines",  # Moonshot, xAI
)

CANNOT_CONTINUE = _any_of(
    # github.com/continuedev/continue/issues/8933 and 11994: both orders of a reasoning item and its item.
    r"provided without its required",
    r"item(?: with id)? '?\"?[\w-]+'?\"? (?:was )?not found|items are not persisted",
    r"duplicate item found",
    r"previous(?: |_)response(?: |_)(?:with id )?\S* ?(?:was )?not[ _]found|invalid_encrypted_content",
    r"encrypted content .* could not be (?:verified|decrypted)",
    r"function call turn comes immediately after",
)
"""States of a conversation at the server that no further message can mend."""

CALLS_UNMATCHED = _any_of(
    # OpenAI: "No tool output found for function call …", "No tool call found for function call output with call_id …".
    r"no (?:\w+ )?(?:call|output|result|response)s? found for (?:\w+ )*?call",
    # Chat Completions, also behind proxies: "… must be followed by tool messages responding to each 'tool_call_id'",
    # "messages with role 'tool' must be a response to a preceding message with 'tool_calls'".
    r"must be followed by tool messages|must be a response to a prece?ding message with '?tool_?calls",
    # Anthropic: "`tool_use` ids were found without `tool_result` blocks immediately after", and the other way round.
    r"`?tool_use`? ids? (?:were|was) found without|unexpected `?tool_use_id`? found in",
    # Mistral, Gemini
    r"not the same number of function calls and responses|number of function response parts is equal to",
)
"""States that results of the open calls mend."""

LOADING = _any_of(
    r"loading model|model is (?:currently )?(?:loading|starting|warming up)|is currently loading|still loading",
    r"model (?:is )?not (?:yet )?(?:ready|loaded yet)|(?:server|engine|model) is (?:starting|warming) up",
)
"""llama.cpp: 503 "Loading model" (ggml-org/llama.cpp, tools/server/README.md, GET /health); Hugging Face: "Model X is
currently loading"."""

NO_CREDIT = _any_of(
    r"insufficient_quota|billing_hard_limit|billing_not_active|insufficient (?:balance|credits?|funds)",
    r"exceeded_current_quota_error|payment required|credit balance is too low|out of credits",
)
QUOTA = _any_of(r"exceeded your current quota")
"""Means that no credit is left at OpenAI, and a rate limit at Gemini, which adds when to retry."""

NO_MODEL = _any_of(
    r"model_not_found|DeploymentNotFound|the model \S+ does not exist|model \S+ not found|no such model|unknown model"
)
KEY_REJECTED = _any_of(r"invalid_api_key|incorrect api key|api key not valid|invalid api key")

BAD_FILE = _any_of(
    # The codes of a failed response (openai.types.responses.ResponseError) and of file search.
    r"invalid_image|invalid_base64_image|image_too_(?:large|small)|image_parse_error|unsupported_(?:image|file)",
    r"image_file_(?:too_large|not_found)|empty_image_file|failed_to_download_image|not supported for retrieval",
)
NO_IMAGES = _any_of(
    # Models without vision: OpenRouter with status 404 (github.com/NousResearch/hermes-agent/pull/23411), llama.cpp
    # with 500 (ggml-org/llama.cpp/issues/15377), Ollama with 400 (ollama/ollama/issues/17301), LM Studio
    # (lmstudio-ai/lmstudio-bug-tracker/issues/362). A format that is not supported says nothing of other images.
    _refused(r"\b(?:image inputs?|images(?! (?:of|in|with|from|larger|must))|vision|multi-?modal\w*)\b"),
    r"content part type|(?:not a|is not) multi-?modal model|unknown variant `?image_url|image_url is only supported",
)
NO_DOCUMENTS = _any_of(
    # Content parts of type "file" and "input_file": vLLM "Unknown part type", llama.cpp "unsupported content[].type",
    # Go and Rust servers name the variants they know.
    r"types?\W{1,6}(?:input_)?file\b|unknown variant `(?:input_)?file|['\"`]input_file['\"`]",
    _refused(r"\b(?:file inputs?|input_file|documents|pdf(?: files?)?)\b"),
    r"unsupported content\[\]\.type",
)

NO_TOOLS = _any_of(
    # Ollama "… does not support tools" (ollama/ollama, server/routes.go), vLLM (vllm-project/vllm, docs "Tool calling";
    # github.com/docker/model-runner/pull/783), llama.cpp with 500, OpenRouter with 404.
    _refused(
        r"\b(?:tools|tool[ _-](?:use|calls?|calling|choice|capabilit\w+|support)|"
        r"functions?[ _-]call(?:s|ing)?|functions)\b(?!_id| ids?\b)"
    ),
    r"enable-auto-tool-choice|tools param requires --jinja|(?:no|not) \w+ supports tool calling",
)
NO_SYSTEM_ROLE = _any_of(
    # Chat templates of Gemma and Mistral; Gemma at Gemini's API; o1-mini at OpenAI; servers with a list of roles.
    _refused(r"(?:\b(?:system|developer) (?:role|messages?|prompts?|instructions?)|['\"`](?:system|developer)['\"`])"),
    r"only user(?:,| and) (?:assistant|model)|developer instruction is not enabled",
    r"(?:invalid|unknown|unexpected|unsupported|unrecogni[sz]ed) (?:message )?role\W{1,4}(?:system|developer)\b",
    r"['\"`](?:system|developer)['\"`] is not one of|should be 'user' or 'assistant'",
)
MUST_ALTERNATE = _any_of(r"roles? must alternate|must alternate between|alternat\w+ user/assistant")
NO_EMPTY_TEXT = _any_of(
    # Anthropic and Bedrock behind proxies, which refuse the empty text that Ollama needs instead of null.
    r"text content blocks must be non-empty|content (?:must|should) be non-empty",
    r"(?:text|content) (?:\w+ )*is (?:empty|blank)|must have non-empty content|content cannot be empty",
)
NEEDS_REASONING = _any_of(
    # github.com/continuedev/continue/issues/11285: on every message of the assistant, if only as an empty text.
    r"missing `?reasoning_content|reasoning_content`? .*must be passed back|reasoning_content is required"
)
NOT_STORED = _any_of(
    # Accounts without storage, and gateways before them (developers.openai.com/api/docs/guides/your-data).
    r"\bstore\W+(?:must be|has to be|should be|only supports) (?:set to )?'?false|zero data retention",
)
NOT_KNOWN_FIELD = _any_of(
    # OpenAI "Unknown parameter", pydantic servers "Extra inputs are not permitted", Go servers "unknown field".
    r"unsupported|not supported|not permitted|not allowed|unknown|unrecognized|unexpected|extra|forbidden"
)
NO_TOOL_LIST = _any_of(
    # OpenAI, with HTTP 424 (github.com/microsoft/agent-framework/issues/1210).
    r"retrieving tool list from MCP server|external_connector_error"
)
