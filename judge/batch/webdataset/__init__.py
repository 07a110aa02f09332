"""WebDataset shards: tar files whose members form rows by their names.

- `member_names`: which members form a row
- `tar_rows`: the rows of a tar file, compressed or not, truncated or not

It imports `judge.batch.sources`, `judge.media`, `judge.pipeline.rows` and `judge.tables`.
"""
