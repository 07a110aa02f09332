"""Judging more rows than one call, one process or one machine takes.

sources   rows wherever they lie, as a stream: JSONL, CSV, parquet, WebDataset tars, folders of pictures
units     stretches of rows, which are judged and recorded together
results   a folder of verdicts in parts, and which rows they are of
fleet     Ray: workers with a `Judge` each. The only module that imports it
score     `judge score --ray` and `judge score --shard`: from a source to results
"""
