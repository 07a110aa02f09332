"""Readers of the syntax of image generators, one module for each family. `prompt_syntax` is their table.

Modules:
    reading: the state that the readers share, and texts that no reader changes (quotes, addresses).
    structured: JSON, `Key: value` lines.
    documents: HTML, Markdown, lists, line ends.
    metadata: settings that an application wrote behind a prompt, Midjourney's parameters and weights.
    weights: brackets of AUTOMATIC1111, ComfyUI and NovelAI, alternatives, networks and embeddings.
    tags: tags of image boards and of models trained on them.
    boilerplate: phrases about quality and fashion.

Imports from below: `judge.elements.lexicon` and `judge.elements.text`.
"""
