"""Reading rows strictly: tables of separated values (CSV, TSV), JSON, and columns in memory.

A file is either read as it was meant, or one error names the line, the separator, the encoding or the column.
A single row that does not fit its header becomes a row with a reason; nothing is cut, joined or left out.

- `text`: encodings, and lines of text
- `separated`: rows with a header, separated by commas, semicolons, tabs or bars
- `json_rows`: JSON Lines and JSON lists
- `cells`: plain values of columns in memory (numpy, pyarrow, pandas)
- `chat_turns`: the text of a prompt or completion that is a chat

It imports `judge.errors`.
"""
