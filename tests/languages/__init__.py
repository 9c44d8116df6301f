"""The catalogues of ``gateway/languages``: complete, sound, and bypassed by no sentence. ``make languages``"""
