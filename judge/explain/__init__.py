"""Verdicts for people: drawn on the image, as heat maps, or printed in a terminal.

Modules:
    overlay: a verdict drawn on its image.
    summary_strip: the strip below the image with score, elements, defects and explanation.
    text_writer: Pillow's font at the sizes of one drawing.
    style: colours and limits of the drawing.
    heatmap: where in the image the score and each defect come from.
    terminal: verdicts and comparisons as Rich renderables.
    plain_text: text without control characters.

Imports from below: `judge.pipeline`, `judge.backends`, `judge.rubrics`, `judge.media`, `judge.types`,
`judge.errors`.
"""
