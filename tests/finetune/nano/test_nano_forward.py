"""The fast forward pass gives the logits of the library. Prompts about an image are independent."""

from __future__ import annotations

from random import Random

import pytest
import torch

from finetune.nano import tasks
from finetune.nano.batched_forward import BatchedForward
from finetune.nano.network import add_vision_blocks, save_processor


def last_states(forward: BatchedForward, batch) -> torch.Tensor:
    features = forward.encode_images(batch.images)
    states, _ = forward.run_language_model(batch.ids, features, batch.positions, batch.attention_mask())
    return states


def test_the_fast_forward_gives_the_logits_of_the_library(
    tokenizer, model, row_builder, build_batch, drawn_scenes, tmp_path
):
    scene = drawn_scenes[0]
    batch = build_batch([[tasks.check(Random(0), scene.facts)]], [scene])
    forward = BatchedForward(model, row_builder.prefix)
    with torch.inference_mode():
        ours = model.lm_head(last_states(forward, batch))[0]
        save_processor(tokenizer, tmp_path)
        from transformers import AutoProcessor

        processor = AutoProcessor.from_pretrained(tmp_path)
        pixels = processor.image_processor(images=[scene.image], return_tensors="pt")
        length = int((batch.blocks[0] >= 0).sum())
        ids = batch.ids[:, :length]
        token_types = (ids == model.config.image_token_id).int()
        theirs = model(
            input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=token_types, **pixels
        ).logits[0]
    assert pixels["image_grid_thw"].tolist() == [[1, 14, 14]]
    assert torch.allclose(ours[:length], theirs, atol=2e-4)


def test_new_vision_blocks_change_nothing_before_they_are_trained(
    model, row_builder, build_batch, drawn_scenes
):
    grown = add_vision_blocks(model, 4).eval()
    assert (len(model.model.visual.blocks), len(grown.model.visual.blocks)) == (2, 4)
    scene = drawn_scenes[0]
    batch = build_batch([[tasks.check(Random(0), scene.facts)]], [scene])
    with torch.no_grad():
        before, after = (
            BatchedForward(m, row_builder.prefix).encode_images(batch.images).tokens for m in (model, grown)
        )
    assert torch.equal(before, after)
    with pytest.raises(ValueError, match="has 2 blocks already"):
        add_vision_blocks(model, 1)


def test_prompts_about_one_image_do_not_affect_each_other(model, row_builder, build_batch, drawn_scenes):
    scene, r = drawn_scenes[1], Random(3)
    first, other = tasks.check(r, scene.facts), tasks.describe(r, scene.facts)
    alone, both = build_batch([[first]], [scene]), build_batch([[other, first]], [scene])
    forward = BatchedForward(model, row_builder.prefix)
    logits = []
    for batch, block in ((alone, 1), (both, 2)):
        with torch.no_grad():
            states = last_states(forward, batch)
        logits.append(model.lm_head(states)[0][batch.blocks[0] == block])
    assert torch.allclose(logits[0], logits[1], atol=1e-4)


def test_a_batch_may_have_no_token_whose_attention_is_read(model, row_builder):
    """A batch of a few images, for example, has no token of a box."""
    forward, none = BatchedForward(model, row_builder.prefix), torch.zeros(0, dtype=torch.long)
    states = torch.zeros(2, 5, model.config.text_config.hidden_size)
    rotary = forward.language.rotary_emb(states, torch.zeros(3, 2, 5, dtype=torch.long))
    layer, keys = forward.language.layers[0], torch.arange(3)
    logits = forward._attention_logits(layer, states, rotary, none, none, keys)
    assert logits.shape == (0, model.config.text_config.num_attention_heads, 3)
