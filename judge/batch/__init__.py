"""Judge more rows than one call, one process or one machine can take.

    sources         what a source of rows is; one shard of a source; rows with media as bytes
    file_source     files of rows and folders of media: JSONL, CSV, parquet, WebDataset tars
    media_folder    images and videos of a folder
    webdataset      rows of tar files
    chunks          neighbouring rows that are judged and recorded together
    judging         judges one chunk
    coverage        which rows have a verdict
    output_folder   file format of a folder of verdicts, and its files
    writer          writes verdicts into such a folder
    reader          reads a complete folder in the order of the source
    scoring         from a source to a folder of verdicts; the worker in this process
    ray_workers     workers on a Ray cluster; the only module here that imports Ray
    ray_options     command-line options of commands that can run on Ray
    command         what `judge score` does with `--ray` or `--shard`
    errors          lost workers, and errors that travel between processes

Imports from below: the facade `judge.judge`, the pipeline (rows, validation), explain (plain text), media,
tables, runtime, types and errors.
"""
