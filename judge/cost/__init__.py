"""Estimate what judging many images costs: tokens, operations, memory traffic and GPU hours.

Everything is computed from a model's config. Neither weights nor an accelerator are needed.
`python -m eval.bench plan` compares these estimates with the embedded judge as it runs.

    accelerators   data sheets of accelerators
    architecture   weight counts and widths of a Qwen-VL model, read from its config
    tokens         how many tokens one image, its prompt and its answer take
    estimate       the cost estimate: operations, memory, seconds and hours
    machine        what this machine is: its GPU, or its CPU as measured
    catalogue      the recommended checkpoints, with memory and speed on a machine
    plan           option texts and printed table of `judge plan`

Imports from below: the pipeline's pixel limit, the student's files, rubrics, forms, types and errors.
"""
