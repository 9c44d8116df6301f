"""Settings of OpenAI's API."""

from __future__ import annotations

NAME = "openai"
PREFIX = "/v1"
AZURE_PREFIXES = ("/openai/v1", "/openai")
"""Where Azure's clients call the same routes: learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle"""
