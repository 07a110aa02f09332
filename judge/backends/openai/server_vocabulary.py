"""The tokenizer of a model behind a vLLM server, as far as its answers to `/tokenize` tell."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from judge.backends.decoding.chat_tokenizer import byte_alphabet
from judge.backends.decoding.natural.vocabulary import Agreement, TokenTable
from judge.backends.openai.chat_client import ChatClient
from judge.errors import ReplyError

MAX_ENDING = 6
"""Greatest number of bytes that a token may hold after the quote that closes a text."""
MAX_FIRST_TOKEN = 32
"""Number of bytes of a text that its first token is looked for in."""
MIN_JOINED, MAX_JOINED = 8, 512
"""Numbers of texts that one request encodes together."""
SEPARATOR = b" x"
"""Text between them: tokenizers split before a space, and between a letter and a digit or a bracket."""
FIRST_UNKNOWN_TOKEN = 1 << 32
"""Number of the first token whose number on the server is not known."""


class ServerVocabulary(TokenTable):
    """The tokens that a server's tokenizer writes.

    The whole vocabulary is not known: the only token that a text is known to begin with is the one that the
    tokenizer would write.

    Args:
        client: the model.
    """

    max_first_nodes = 0  # each is a request

    def __init__(self, client: ChatClient) -> None:
        super().__init__()
        self._client, self._lock = client, Lock()
        self._bytes: dict[int, bytes] = {}
        self._numbers: dict[bytes, int] = {}
        self._encoded: dict[bytes, tuple[int, ...]] = {}

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes of a token that was met."""
        return self._bytes[token]

    def register(self, text: bytes, number: int | None = None) -> int:
        """Note a token.

        Args:
            text: its bytes.
            number: its number on the server; None if it is not known.

        Returns:
            Its number, or one that no token of the server has.
        """
        with self._lock:
            if number is None:
                number = self._numbers.get(text, FIRST_UNKNOWN_TOKEN + len(self._bytes))
            self._bytes[number] = text
            self._numbers.setdefault(text, number)
            return number

    def prefixes(self, text: bytes) -> list[int]:
        """Return the token that the tokenizer would write first."""
        return list(self.encode_bytes(_cut(text, MAX_FIRST_TOKEN))[:1]) if text else []

    def extensions(self, text: bytes) -> list[int]:
        """Return nothing: longer tokens are not known."""
        return []

    def has_extension(self, text: bytes) -> bool:
        """Return false: longer tokens are not known."""
        return False

    def encode_bytes(self, text: bytes) -> tuple[int, ...]:
        """Encode a text by itself.

        Raises:
            BackendError: the server cannot be reached.
            ReplyError: the server does not tokenize the text.
        """
        if not text:
            return ()
        if text not in self._encoded:
            numbers, names = self._client.tokenize(text.decode("utf-8", "ignore"))
            texts = _token_texts(names, text)
            self._encoded[text] = tuple(map(self.register, texts, numbers))
        return self._encoded[text]

    def encode_labels(
        self, before: tuple[int, ...], pending: bytes, labels: Sequence[bytes], following: Sequence[bytes]
    ) -> list[tuple[int, ...]]:
        """Encode alternatives; see `TokenTable.encode_labels`.

        If the tokenizer splits the first and the last of them between the pending text and the label, the
        others are taken to be split there too, which saves a request for each.
        """
        self._encode_together([_cut(a + b, MAX_FIRST_TOKEN) for a, b in zip(labels, following, strict=True)])
        start = self.encode_after(before, pending)
        ends = [self.encode_after(before, pending + labels[n] + following[n]) for n in (0, -1)]
        if not all(path[: len(start)] == start for path in ends):
            return super().encode_labels(before, pending, labels, following)
        pairs = zip(labels, following, strict=True)
        return [(*start, *self.encode_bytes(_cut(label + after, MAX_FIRST_TOKEN))) for label, after in pairs]

    def _agreement(self, texts: tuple[bytes, ...], may_follow: tuple[tuple[bytes, ...], ...]) -> Agreement:
        self._encode_together([_cut(text, MAX_FIRST_TOKEN) for text in texts])
        return super()._agreement(texts, may_follow)

    def _encode_together(self, texts: Sequence[bytes]) -> None:
        """Encode many numbers in few requests, such as the 1,001 places of a corner.

        Texts that begin with a letter may be encoded otherwise behind the separator, and are left out. So are
        all, if some text is not split from the separators, or if the first or the last is encoded otherwise.
        """
        missing = [text for text in dict.fromkeys(texts) if text not in self._encoded]
        missing = [text for text in missing if text[:1].isdigit() or text[:1] in (b",", b"]", b"}", b'"')]
        if len(missing) < MIN_JOINED:
            return
        for start in range(0, len(missing), MAX_JOINED):
            part = missing[start : start + MAX_JOINED]
            joined = b"".join(text + SEPARATOR for text in part)
            numbers, names = self._client.tokenize(joined.decode("utf-8", "ignore"))
            pieces = _split_tokens(_token_texts(names, joined), numbers, part)
            if not pieces:
                return
            for text in (part[0], part[-1]):
                if self.encode_bytes(text) != tuple(number for _, number in pieces[text]):
                    return
            for text, tokens in pieces.items():
                self._encoded[text] = tuple(self.register(piece, number) for piece, number in tokens)

    def _closing_endings(self, endings: tuple[bytes, ...]) -> tuple[bytes, ...]:
        return tuple(sorted({ending[:MAX_ENDING] for ending in endings}))


def _cut(text: bytes, length: int) -> bytes:
    """Cut a text to a number of bytes, at a whole character."""
    return text[:length].decode("utf-8", "ignore").encode() or text


def _split_tokens(
    tokens: Sequence[bytes], numbers: Sequence[int], texts: Sequence[bytes]
) -> dict[bytes, list[tuple[bytes, int]]]:
    """Return the tokens of each of some texts that were encoded together, with a separator behind each.

    Returns:
        Text -> its tokens and their numbers; empty if a token reaches over the end of a text.
    """
    found: dict[bytes, list[tuple[bytes, int]]] = {}
    pairs = iter(zip(tokens, numbers, strict=True))
    for text in texts:
        for part in (text, SEPARATOR):
            own: list[tuple[bytes, int]] = []
            length = 0
            while length < len(part):
                piece, number = next(pairs)
                own.append((piece, number))
                length += len(piece)
            if length > len(part):
                return {}
            found.setdefault(part, own)
    found.pop(SEPARATOR, None)
    return found


def _token_texts(names: Sequence[str], text: bytes) -> list[bytes]:
    """Return the bytes of tokens from their names in the vocabulary.

    Raises:
        ReplyError: the names are of an unknown kind.
    """
    alphabet = byte_alphabet()
    if all(character in alphabet for name in names for character in name):
        texts = [bytes(alphabet[character] for character in name) for name in names]
        if b"".join(texts) == text:
            return texts
    texts = [name.replace("\u2581", " ").encode() for name in names]
    if b"".join(texts) != text:
        raise ReplyError("reply: the tokens of the server's tokenizer do not join to the text")
    return texts
