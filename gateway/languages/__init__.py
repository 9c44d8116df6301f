"""The bot's own sentences in people's languages; see README.md."""

from gateway.languages.catalogue import ENGLISH, direction_of, say, sentences_of, tag_of
from gateway.languages.choice import ENGLISH_ONLY, Languages, LanguageSettings

__all__ = ["ENGLISH", "ENGLISH_ONLY", "LanguageSettings", "Languages", "direction_of", "say", "sentences_of", "tag_of"]
