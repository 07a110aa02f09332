"""Readers of file formats. They know no benchmark; errors name the file, the line and what to do.

    `text_files`: text, JSON, JSONL and CSV, plain or inside a zip archive.
    `prediction_files`: predictions as challenges want them, `name,score` lines or JSON objects.
    `parquet`: rows of Parquet files.
    `matlab`: arrays of MATLAB files.
    `pickles`: pickled predictions, read without running code.
    `tfrecord`: examples of TFRecord files, without TensorFlow.
    `xlsx`: cells of spreadsheets.

Imports from below: `judge.errors` and `judge.runtime`.
"""
