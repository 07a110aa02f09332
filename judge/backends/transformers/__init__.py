"""Run a Qwen-VL checkpoint in this process with Hugging Face transformers.

- `backend`: `Transformers`, the backend.
- `loading`: load a checkpoint with its adapter and processor.
- `memory`: what to do when memory runs out.
- `text_grammar`: the grammar of free text, as a mask on logits.
- `thought`: a thought before a form.
- `tracing`: trace a number back to the patches of the images.
- `fast_layers`: faster code for some layers, with the same results.

It imports `judge.backends.decoding` and the shared modules of `judge.backends`.
"""
