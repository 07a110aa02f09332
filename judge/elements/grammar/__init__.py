"""Splitting of English prompts by a dependency parser: spaCy with an English pipeline (extra `nlp`).

Modules:
    pipeline: finding, loading and running an installed English pipeline.
    segments: from plain text to the segments that are parsed, with quoted texts and relations marked.
    things: the things of a parsed segment, with their modifiers.
    links: relations, activities and properties that clauses state.
    references: what pronouns and "one ... the other" refer to.
    reading: from a text to statements.

Imports from below: `judge.elements` (lexicon, statements, text), `judge.errors`. `import judge` loads no
spaCy.
"""
