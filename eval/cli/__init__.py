"""The command line `judge eval`. Heavy imports are inside the commands.

- `app`: the Typer app; it adds the commands of the files below.
- `run`: `run`, with the suite `trust`; `merge`.
- `results`: `list`, `report` and `score`.
- `interop`: `submit`, `export`, `import-labels` and `lmms-task`.
- `options`: options that several commands share, and the parsing of their values.
- `judges`: create the judge that the options ask for.
- `progress`: progress bars and progress lines.
- `errors`: errors as one line and an exit code.

Exit codes: 0 done; 1 the model could not be run; 2 bad input; 130 interrupted from the keyboard.

Imports the other rooms of `eval` except `bench`, and from `judge` the options of Ray, the batch commands
and the facade.
"""
