"""The command line: `judge verdict`, `judge score`, `judge serve` and the other commands.

    app         the root app and `main`, the entry point
    options     annotated options that several commands share
    judges      open the judge that the options select
    output      one-line errors, tables, the progress bar, files that appear only when complete
    verdict     judge verdict
    score       judge score
    compare     judge compare, judge rank
    samples     judge elements, judge scenes
    rubric      judge rubric new, check, show
    packages    judge finetune, judge calibrate, judge eval
    serve       judge serve
    plan        judge plan
    doctor      judge doctor
    demo        judge demo

It may import every room of `judge`. The packages `finetune` and `eval`, and every module that takes long to
import, are imported inside the commands, so that `judge --help` is fast.
"""
