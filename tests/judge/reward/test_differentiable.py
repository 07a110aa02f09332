"""The differentiable reward: the judge's own numbers, a correct gradient, and bounded memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import FAMILIES, write_checkpoint

from judge import InputError, Judge
from judge.backends.scripted import Scripted
from judge.media.differentiable_resize import extract_patches, resize_bicubic
from judge.media.image import load_image, resize_to_fit
from judge.reward import Differentiable, Reward
from judge.reward.refl import draft_loss, refl_loss, sampled

PROMPT = "a red circle and a blue square"


def noise_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def to_tensor(*images: np.ndarray, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Images (H, W, 3) as one tensor (N, 3, H, W) in 0..1."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(dtype) / 255


@pytest.mark.parametrize(
    ("before", "after"), [((97, 64), (224, 224)), ((224, 300), (31, 57)), ((9, 9), (9, 40))]
)
def test_resizing_gives_the_pixels_of_pillow(before: tuple[int, int], after: tuple[int, int]) -> None:
    image = noise_image(*before)
    expected = np.asarray(Image.fromarray(image).resize(after[::-1], Image.Resampling.BICUBIC))
    images = to_tensor(image, dtype=torch.float64)
    exact = resize_bicubic(images, after[1], after[0])[0].permute(1, 2, 0)
    assert np.abs(exact.numpy() * 255 - expected).max() < 1e-6
    smooth = resize_bicubic(images, after[1], after[0], exact=False)[0].permute(1, 2, 0)
    assert np.abs(smooth.clamp(0, 1).numpy() * 255 - expected).max() < 2


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judge]:
    folder = tmp_path_factory.mktemp("tiny")
    return {
        family: Judge(str(write_checkpoint(folder / family, family)), dtype="float64") for family in FAMILIES
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_the_model_gets_the_patches_of_the_processor(judges: dict[str, Judge], family: str) -> None:
    """Both resizings, the rescaling, the normalisation and the order of the patches agree."""
    judge, image = judges[family], noise_image(90, 150)
    judge.max_pixels = 5000
    fitted, _ = resize_to_fit(load_image(image), max_pixels=5000)
    expected, expected_grid = judge.backend._encode_images([fitted])
    inputs = Differentiable(judge)._model_inputs(to_tensor(image))[:, 0]
    patches, grid = extract_patches(inputs, judge.backend.processor.image_processor)
    assert grid.tolist() == expected_grid.tolist()
    assert (patches - expected).abs().max() < 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_the_parts_are_those_of_the_reward(
    judges: dict[str, Judge], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a tuned model; a general one reads behind its own labels, and two may be as likely."""
    monkeypatch.setattr(judges[family].backend, "brief", True)
    judge, images = judges[family], [noise_image(64, 64, 1), noise_image(64, 64, 2)]
    prompts = [PROMPT, "a green ring"]
    expected = Reward(judge)(prompts=prompts, images=images)
    parts = Differentiable(judge).parts(to_tensor(*images), prompts=prompts)
    for n, result in enumerate(expected):
        own = {name: float(value[n]) for name, value in parts.items()}
        assert own == pytest.approx(result.parts, abs=1e-4)


def test_the_gradient_agrees_with_finite_differences(
    judges: dict[str, Judge], monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = judges["qwen3_vl"]
    # A general model is read behind its own labels, which may change between two images.
    monkeypatch.setattr(judge.backend, "brief", True)
    score = Differentiable(judge, exact=False, weights={"score": 1, "degradation": 0.5})
    # Away from black and white, where clamping to 0..1 makes a kink.
    images = (0.2 + 0.6 * to_tensor(noise_image(50, 70), dtype=torch.float64)).requires_grad_()
    (gradient,) = torch.autograd.grad(score(images, prompts=[PROMPT]).sum(), images)
    assert gradient.abs().max() > 0
    random = torch.randn(images.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for direction in (gradient / gradient.norm(), random / random.norm()):
        with torch.no_grad():
            up, down = (score(images + e * direction, prompts=[PROMPT]).item() for e in (1e-3, -1e-3))
        slope = (gradient * direction).sum().item()
        assert (up - down) / 2e-3 == pytest.approx(slope, rel=1e-2, abs=1e-4)


def test_rounding_passes_the_gradient_through(judges: dict[str, Judge]) -> None:
    images = to_tensor(noise_image(64, 64), dtype=torch.float64).requires_grad_()
    gradients = []
    for exact in (True, False):
        scores = Differentiable(judges["qwen3_vl"], exact=exact)(images, prompts=[PROMPT])
        gradients.append(torch.autograd.grad(scores.sum(), images)[0].flatten())
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.99


def test_memory_between_forward_and_backward_does_not_depend_on_the_model(judges: dict[str, Judge]) -> None:
    """Only pixels and the few numbers that are read are saved, whatever the depth of the model."""
    score, saved_numbers = Differentiable(judges["qwen3_vl"], batch=2), 0

    def count_saved(saved: torch.Tensor) -> torch.Tensor:
        nonlocal saved_numbers
        saved_numbers += saved.numel()
        return saved

    images = torch.rand(8, 3, 64, 64, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(count_saved, lambda saved: saved):
        scores = score(images, prompts=[PROMPT] * 8)
    scores.sum().backward()
    assert saved_numbers < 3 * images.numel()
    assert images.grad.abs().amax(dim=(1, 2, 3)).min() > 0


@pytest.mark.parametrize(
    ("images", "prompts"),
    [(torch.rand(3, 8, 8), [PROMPT]), (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), [PROMPT]),
     (torch.rand(2, 3, 8, 8), [PROMPT]), (torch.rand(1, 3, 8, 8), [""])],
)  # fmt: skip
def test_unusable_images_and_prompts_are_rejected(
    judges: dict[str, Judge], images: torch.Tensor, prompts: list
) -> None:
    with pytest.raises(InputError):
        Differentiable(judges["qwen3_vl"])(images, prompts=prompts)


CHAT = [{"role": "system", "content": "Draw."}, {"role": "user", "content": PROMPT}]


def test_a_row_that_cannot_be_read_has_no_score_and_no_gradient(judges: dict[str, Judge]) -> None:
    score = Differentiable(judges["qwen3_vl"])
    images = to_tensor(
        noise_image(32, 32, 1), noise_image(32, 32, 2), noise_image(32, 32, 3)
    ).requires_grad_()
    prompts = np.array([PROMPT, None, PROMPT], dtype=object)
    elements = [np.array(["a hat", "a dog"], dtype=object), None, [1, 2]]
    scores = score(images, prompts=prompts, elements=elements)
    assert scores.isnan().tolist() == [False, True, True]
    expected = score(images[:1].detach(), prompts=[CHAT], elements=[["a hat", "a dog"]])
    assert scores[0].item() == pytest.approx(expected.item(), abs=1e-5)
    (refl_loss(scores) + draft_loss(scores)).backward()
    assert images.grad is not None and images.grad.isfinite().all()
    assert images.grad[0].abs().max() > 0 and images.grad[1:].abs().max() == 0
    with pytest.raises(InputError, match="prompt"):
        score(images, prompts=[[{"role": "user", "content": None}]] * 3)


@pytest.mark.parametrize(
    ("scale", "shift", "mend"),
    [
        (2, -1, "x / 2"),
        (255, 0, "x / 255"),
        (5, -2, "normalisation"),
        (float("nan"), 0, "NaN"),
        (1.2, 0, "clamp"),
    ],
)
def test_pixels_in_another_range_are_refused(
    judges: dict[str, Judge], scale: float, shift: float, mend: str
) -> None:
    images = to_tensor(noise_image(32, 32)) * scale + shift
    with pytest.raises(InputError, match=mend):
        Differentiable(judges["qwen3_vl"])(images, prompts=[PROMPT])


def test_a_model_in_another_process_has_no_gradient() -> None:
    with pytest.raises(InputError, match="a model in this process"):
        Differentiable(Judge(backend=Scripted()))


def test_losses_fall_as_scores_rise_and_sampling_keeps_the_gradient_of_the_last_steps() -> None:
    low, high = torch.tensor([0.2, 0.4]), torch.tensor([0.6, 0.8])
    assert refl_loss(high) < refl_loss(low) and draft_loss(high) < draft_loss(low)
    assert refl_loss(torch.tensor([2.0])) == 0, "a score above the margin has no loss"
    weight = torch.ones((), requires_grad=True)
    latents = torch.ones(1)
    out = sampled(lambda latents, t: latents * weight * t, latents, torch.tensor([2.0, 3.0, 5.0]), last=2)
    out.backward()
    assert out.item() == 30 and weight.grad.item() == 60


def test_the_embedded_judge_has_a_gradient_too(tmp_path: Path) -> None:
    from judge.scenes import draw_scene

    scene, judge = draw_scene(3), Judge(calibration=False)
    images = to_tensor(scene.image).requires_grad_()
    score = Differentiable(judge)(images, prompts=[scene.sample.prompt])
    (expected,) = Reward(judge)(prompts=[scene.sample.prompt], images=[scene.image])
    assert score.item() == pytest.approx(expected.score, abs=1e-4)
    score.sum().backward()
    assert images.grad.abs().max() > 0
