"""Models with the vocabulary of Qwen: tokenizers and tiny checkpoints as on the hub, and what they show.

- `vocabulary`: the tokenizers of Qwen2 and Qwen3.5, from the ranks in the package `dashscope`.
- `checkpoints`: tiny random checkpoints of each architecture, with the files of a real one.
- `teaching`: teach one of them to answer the default rubric with stated rates.
- `own_rates`: the rates of the taught model itself, by brute force.
- `reading`: what backends read of it, compared with what was taught.

Imports `judge`.
"""
