"""The systems that `python -m eval.bench serving` compares, one file for each process.

- `base`: what is common to them (`SystemGroup`, `TimedRun`).
- `child_process`: a group of systems in a child process.
- `local`: transformers' `generate`, the walker, outlines, and the forward pass alone.
- `vllm`: the vLLM backend, and the vLLM engine without it.
- `gateway`: `judge serve` with concurrent clients.
"""
