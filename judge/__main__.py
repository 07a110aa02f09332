"""`python -m judge` is the `judge` command."""

from judge.cli.app import main

main()
