"""Forms in the vocabulary of Qwen, whose tokens straddle branches and ends of texts."""

from __future__ import annotations

import pytest
from real_vocabulary import tiny_checkpoint

from judge.backends.decoding.chat_tokenizer import ChatTokenizer
from judge.backends.decoding.natural.canonical import CanonicalText
from judge.backends.decoding.natural.continuations import continuations, following_literal
from judge.backends.decoding.natural.filling import Write
from judge.backends.decoding.natural.texts import TextBuilder
from judge.backends.decoding.natural.vocabulary import Vocabulary
from judge.errors import ReplyError
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Choice, Object, Repeat, Text
from judge.rubrics.layouts import LAYOUTS, PRETTY, SPACED

ITEM = Object((("kind", Choice("kind", ("cut", "fused"), quoted=True)), ("why", Text("why", 12))))
FORM = Form(Object((("defects", Repeat("defects", ITEM, 0, 2)), ("score", Choice("score", ("1", "10"))))))
OPEN = ["{", "cut", "x"]


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    from judge.backends.torchvision_compat import patch_imports

    patch_imports()
    from transformers import AutoProcessor

    folder = tiny_checkpoint(tmp_path_factory.mktemp("real"), "qwen3_vl")
    return Vocabulary(ChatTokenizer(AutoProcessor.from_pretrained(folder)))


def texts(vocabulary: Vocabulary, tokens) -> set[bytes]:
    return {vocabulary.token_bytes(token) for token in tokens}


def test_the_tokens_of_a_branch_straddle_the_literals_around_it(vocabulary: Vocabulary) -> None:
    found = vocabulary.agreement((b'":[{"kind":"', b'":[],"score":'), ((), ()))
    single = {t for t, owners in zip(found.tokens, found.owners, strict=True) if len(owners) == 1}
    assert {b'":[{"', b'":[{', b'":[]', b'":[],'} <= texts(vocabulary, single)
    assert {b'"', b'":', b'":['} == texts(vocabulary, set(found.tokens) - single)


def test_prefixes_and_extensions_are_all_there_are(vocabulary: Vocabulary) -> None:
    every = [vocabulary.token_bytes(n) for n in range(151643)]
    for text in (b'."},{"kind', b" true,", "猫".encode(), b"\n\n   x"):
        assert texts(vocabulary, vocabulary.prefixes(text)) == {t for t in every if text.startswith(t)}
    for text in (b'"}', b" tru", b"],"):
        longer = {t for t in every if t.startswith(text) and t != text}
        assert texts(vocabulary, vocabulary.extensions(text)) == longer
        assert vocabulary.has_extension(text)
    assert not vocabulary.has_extension(b'"defects":[{')


def test_control_and_added_tokens_agree_with_no_text(vocabulary: Vocabulary) -> None:
    for text in (b"<|im_end|>", b"<think>", b"</think>"):
        assert text not in texts(vocabulary, vocabulary.prefixes(text))


def test_a_text_is_encoded_as_after_what_stands_before_it(vocabulary: Vocabulary) -> None:
    before = vocabulary.encode_bytes(b'{"a cat":')
    whole = vocabulary.encode_bytes(b'{"a cat": true,')
    assert before + vocabulary.encode_after(before[-4:], b" true,") == whole


def test_what_may_follow_a_text_depends_on_the_form() -> None:
    assert continuations(FORM, OPEN) == (
        b'},{"kind":"cut","why":"',
        b'},{"kind":"fused","why":"',
        b'}],"score":1}',
        b'}],"score":10}',
    )
    assert continuations(FORM, [*OPEN, ",{", "cut", "x"]) == (b'}],"score":1}', b'}],"score":10}')
    assert following_literal(FORM, ["]"]) == b',"score":'
    assert continuations(FORM, ["]", "1"]) == (b"}",)


def test_a_closing_token_holds_only_what_may_follow(vocabulary: Vocabulary) -> None:
    endings = vocabulary.closing_endings(continuations(FORM, OPEN))
    assert {b"}", b"},", b"},{", b'},{"', b"}]", b"}],"} <= set(endings)
    assert not {b",", b":", b"}}", b"}]}"} & set(endings)


@pytest.mark.parametrize("layout", [one for layouts in LAYOUTS.values() for one in layouts], ids=str)
def test_a_canonical_text_has_the_tokens_of_the_whole(vocabulary: Vocabulary, layout) -> None:
    form = Form(FORM.root.filter(lambda node: not isinstance(node, Repeat))).in_layout(layout)
    text, tokens = CanonicalText(vocabulary), list[int]()
    for segment in form.segments({"score": 10}):
        if segment.role == "literal":
            text.append(segment.text)
        else:
            (blank,) = (piece for piece in form.parts if isinstance(piece, Choice))
            before, tree = text.append_blank(next(walk_choices(form)), form, (), segment.text)
            tokens += before
            assert tree.owners is not None and set(tree.owners.tolist()) == {0, 1}
            assert blank.labels == ("1", "10")
    tokens += text.finish()
    assert tuple(tokens) == vocabulary.encode_bytes(form.render({"score": 10}).encode())


def walk_choices(form: Form):
    walk = form.walk()
    piece = next(walk)
    while not isinstance(piece, Choice):
        piece = walk.send("")
    yield piece


# -- Texts that an engine writes ---------------------------------------------------------------------------


def build_text(vocabulary: Vocabulary, max_chars: int = 12) -> TextBuilder:
    (beginning,) = vocabulary.encode_bytes(b'":"')
    return TextBuilder(Write([], beginning, max_chars, (b"}", b"},"), "why"), vocabulary)


def test_a_text_ends_with_the_token_that_closes_it(vocabulary: Vocabulary) -> None:
    builder = build_text(vocabulary)
    builder.append(vocabulary.encode_bytes(b'":"It is cut."},{"kind'))
    assert builder.is_closed
    assert vocabulary.text(builder.tokens) == b'":"It is cut."},'


def test_a_text_that_is_too_long_is_cut_where_it_fits_and_bounded(vocabulary: Vocabulary) -> None:
    builder = build_text(vocabulary, 7)
    builder.append(vocabulary.encode_bytes(b'":"It is smeared here'))
    assert not builder.is_closed
    assert vocabulary.text(builder.tokens) == b'":"It is'
    assert "{0,2}" in builder.rules()
    builder.append(vocabulary.encode_bytes(b'."}'))
    assert builder.is_closed


def test_an_engine_that_writes_nothing_is_an_error(vocabulary: Vocabulary) -> None:
    builder = build_text(vocabulary, 3)
    builder.append(vocabulary.encode_bytes(b'":"abcdefgh'))
    with pytest.raises(ReplyError, match="why: not finished"):
        builder.append([])
        builder.append([])


# -- Layouts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "options"), [(SPACED, {}), (PRETTY, {"indent": 2}), (LAYOUTS["pretty"][1], {"indent": 4})]
)
@pytest.mark.parametrize("count", [0, 1, 2])
def test_layouts_are_those_of_json_dumps(layout, options, count: int) -> None:
    import json

    values = {"defects": [{"kind": "cut", "why": "a猫"}] * count, "score": 10}
    text = FORM.in_layout(layout).render(values)
    assert text == json.dumps(values, ensure_ascii=False, **options)
    assert FORM.parse(text) == values
