"""The agent: zoom-ins (closer looks) where the first answer leaves doubt or the model missed detail.

Modules:
    closer_looks: the loop that asks for closer looks and merges their answers into the verdict.
    budget: how many looks, and how much time, one sample may take.
    questions: the requests of closer looks.
    tiling: crops, windows and tiles of an image.
    findings: one defect over several looks, and which defects are the same.

Imports from below: `judge.pipeline`, `judge.backends`, `judge.rubrics`, `judge.media`, `judge.types`,
`judge.errors`.
"""
