"""Read and fill forms in the tokens that a model itself would write, which may straddle blanks and literals.

A tokenizer may write `":[{"` or `."},` as one token, so where a list goes on or a text ends is often decided
by a token that began before the blank and ends after it. Here a form is therefore text, not pieces: literals
are fed as the tokenizer writes the whole, and the probability of an alternative is the sum over all tokens of
the vocabulary that agree with it.

- `vocabulary`: the bytes of every token, and which tokens agree with which texts.
- `alternatives`: the probabilities of alternative texts, read from the last boundary that they share.
- `continuations`: what may follow in a form.
- `drafts`: what is read next if every label is the expected one.
- `filling`: the generator that fills a form, and its operations.
- `steps`: these operations as the steps of a row in this process.

It imports `judge.backends.base`, `judge.rubrics` and the modules of `judge.backends.decoding` that need no
model. Models that were trained on pieces (`judge.backends.checkpoints`) do not come here.
"""
