"""Reading tables of rows strictly: separated values (CSV, TSV) and JSON, in any usual encoding.

A file is either read as it was meant, or one error names the line, the separator, the encoding or the column.
A single row that does not fit its header becomes a row with a reason; nothing is cut, joined or left out.

- `text`: encodings, and lines of text
- `separated`: rows with a header, separated by commas, semicolons, tabs or bars
- `json_rows`: JSON Lines and JSON lists

It imports `judge.errors`.
"""
