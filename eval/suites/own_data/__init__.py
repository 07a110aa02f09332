"""Suites for data that is no public benchmark.

    `scenes`: images and clips of this project's own renderer, with exact labels.
    `folder`: your own images: a folder, a table or a data set.
    `row_sources`: where the rows of `folder` come from: tables, image folders, Hugging Face data sets.

Imports from below: `eval.suites.shared`, `eval.suites.readers`, `eval.metrics` and `judge`.
"""
