"""Brings the sentences of the code into the catalogues: ``make languages``. What is new there is to be translated."""

from __future__ import annotations

from tests.languages import catalogues

template = catalogues.extracted()
for path in catalogues.FILES:
    path.write_text(catalogues.updated(path, template))
    untranslated = sum(not all(catalogues.translations(entry)) for entry in catalogues.read(path) if entry.id)
    print(f"{path.relative_to(catalogues.ROOT)}: {len(template)} sentences, {untranslated} to translate")
