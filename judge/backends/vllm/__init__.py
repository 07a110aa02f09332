"""Run a Qwen-VL checkpoint with vLLM in this process.

- `backend`: `VLLM`, the backend and stream.
- `engine`: start vLLM's engine with settings that suit the machine.
- `prompts`: the prompt of a request, as the engine takes it.
- `natural_programs`: how a form is filled by requests to the engine, in the model's own tokens.
- `programs`: the same in pieces, for models that were trained so; and how choices are read in one go.
- `thought`: a thought before a form.
- `partial_form`: a form that is being filled in pieces, token by token.
- `cpu_lora`: faster LoRA for vLLM on a CPU.

It imports `judge.backends.decoding` and the shared modules of `judge.backends`. vLLM itself is imported only
when a backend is created.
"""
