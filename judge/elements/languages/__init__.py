"""Splitting of prompts in other languages than English, and in several languages.

Modules:
    scripts: which script and language a clause is in.
    clauses: from a text to clauses of one language each.
    phrases: phrases of languages with spaces, by their function words.
    east_asian: phrases of Chinese and Japanese, by a tokenizer if one is installed.
    words: function words of each language.

Imports from below: `judge.elements` (statements, text).
"""
