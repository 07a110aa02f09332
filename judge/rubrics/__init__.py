"""Rubrics: what a judge asks about an image, and the form in which it answers.

Modules:
    rubric: `Rubric`, its form, its chat messages and the rule of its score.
    schema: the tables of a rubric file as pydantic models.
    files: finding and reading rubric files (TOML).
    templates: the Jinja templates of the package.
    form: `Form`, a JSON answer with blanks: rendering, filling, schema and parsing.
    form_nodes: the nodes that a form consists of.

Imports from below: `judge.evidence` (names of measured facts), `judge.media` (images of worked examples),
`judge.types`, `judge.errors`.
"""
