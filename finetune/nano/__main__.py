"""`python -m finetune.nano`: the embedded judge from an empty folder, step by step."""

from finetune.nano.cli import app

app()
