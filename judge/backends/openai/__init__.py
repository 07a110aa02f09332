"""Call a model behind an OpenAI-compatible server: `vllm serve`, SGLang, llama.cpp, hosted models.

- `backend`: `OpenAI`, the backend and stream.
- `any_server`: answer a form on any server, with the form as a JSON schema.
- `response_formats`: how much of a JSON schema a server takes.
- `reply_json`, `reply_reading`: find the JSON in a reply, and read it by its form where nothing enforced it.
- `vllm_server`: answer a form on a vLLM server, with a grammar and exact probabilities.
- `natural_form`: the same in the model's own tokens, with a request for each blank.
- `server_vocabulary`: the tokenizer of a model behind a vLLM server.
- `chat_client`: chat completions of one model, and what is known of its server.
- `messages`: the chat as JSON, with images as data URLs.
- `completions`: parse chat completions: text, tokens and alternatives.
- `transport`: HTTP requests with retries.

It imports `judge.backends.decoding` (`grammar`, `logprobs`) and the shared modules of `judge.backends`.
"""
