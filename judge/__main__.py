"""Run the command `judge` as `python -m judge`."""

from judge.cli.app import main

main()
