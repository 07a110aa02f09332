"""Writing in images, for rubrics with `texts`: what was read, and its share in a verdict.

Modules:
    reading: reads an image and compares the lines with the texts that the sample wants.
    weighing: the share of the reading in elements, dimensions and defects.
    verdicts: verdicts that rest on the reading alone.

Imports from below: as `judge.pipeline`.
"""
