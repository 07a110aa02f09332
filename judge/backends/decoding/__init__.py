"""Turn a form into tokens and token probabilities into labels, independent of what runs the model.

- `chat_tokenizer`: tokenize chats and forms so that content cannot break out of the chat template.
- `label_tree`: the labels of a blank as a tree of tokens, to read all of them in one forward pass.
- `program`: the protocol between one row and the batch that it runs in.
- `natural/`: read and fill forms in the tokens that a model itself would write.
- `form_filling`: the generator that fills a form from left to right, for models that were trained on pieces.
- `choice_reading`: the generator that reads all choices of a form in one forward pass.
- `phrase_cache`: predictions of free text, to decode several tokens in one pass.
- `batch`: run many rows on one model in this process.
- `recurrent_batch`: the same on a model with recurrent layers.
- `forward_input`: the tensors of one forward pass over ragged rows.
- `grammar`: a form as an EBNF grammar, for servers with structured output.
- `reply_alignment`: where the blanks of a form lie in the text of a reply.
- `logprobs`: label probabilities from the token log-probabilities of a reply.

It imports `judge.backends.base`, `judge.rubrics` and `judge.runtime`. Only `batch`, `recurrent_batch` and
`forward_input` import torch.
"""
