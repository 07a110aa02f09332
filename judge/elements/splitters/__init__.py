"""Splitters: the ways to take statements out of plain text, by name.

Modules:
    registry: the splitters by name, and which one is used by default.
    choice: which splitter a prompt gets: by the model, by grammar, by rules.
    refinement: phrases into things, numbers and attributes, by word lists.
    model_lists: lists made by the judge's model, asked for once for each text.

Imports from below: the other modules of `judge.elements`, `judge.backends`, `judge.errors`.
"""
