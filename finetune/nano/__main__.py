"""Run the commands of `finetune.nano.cli`: `python -m finetune.nano STEP`."""

from finetune.nano.cli import app

app()
