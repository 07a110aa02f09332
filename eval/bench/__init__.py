"""The numbers of this project, one command for each part: `python -m eval.bench PART --json`.

- `__main__`: the command line.
- `parts`: one function for each part, from its options to its numbers.
- `output`: tables, JSON and progress bars.
- `vllm_server`: judges in this process and on a vLLM server, for comparisons.
- `accuracy`: measurements of accuracy.
- `fuzzing`: what becomes of damaged inputs.
- `speed`: measurements of time, throughput and memory.

Imports the other rooms of `eval`, `finetune` and `judge`; nothing imports this room.
"""
