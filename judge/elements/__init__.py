"""Elements: short statements taken from a prompt, which the judge checks in the image one by one.

Modules:
    element_list: the elements of a prompt, through the modules below.
    prompt_syntax, syntax: the syntax of generators; what remains is plain text.
    edits: instructions of an edit.
    negation, negation_languages: what must be absent.
    text: cleaning, truncation and normalisation of element texts.
    lexicon: word lists that the rules share.
    splitting: rule-based splitting of plain text into elements; what a verdict uses by default.
    statements: the kind of each element and which other elements must hold first.
    atomic: finer splitting, one statement per thing, property, number, action and relation.
    model_extraction: a form that a large model fills with the elements of a prompt.
    matching: precision and recall of elements against those written by people.

Imports from below: `judge.backends` (requests and replies), `judge.rubrics` (forms and templates),
`judge.types`, `judge.errors`.
"""
