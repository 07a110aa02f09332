"""Run a Qwen-VL checkpoint with vLLM in this process.

- `backend`: `VLLM`, the backend and stream.
- `engine`: start vLLM's engine with settings that suit the machine.
- `prompts`: the prompt of a request, as the engine takes it.
- `programs`: how a form is filled or read by requests to the engine.
- `thought`: a thought before a form.
- `partial_form`: a form that is being filled token by token.
- `cpu_lora`: faster LoRA for vLLM on a CPU.

It imports `judge.backends.decoding` and the shared modules of `judge.backends`. vLLM itself is imported only
when a backend is created.
"""
