"""The differentiable reward: the judge's own numbers, a true gradient, and memory that does not grow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import FAMILIES, checkpoint

from judge import InputError, Judge
from judge.backends.scripted import Scripted
from judge.media import image as media
from judge.reward import Differentiable, Reward
from judge.reward.refl import draft_loss, refl_loss, sampled
from judge.reward.resize import patches, resized

PROMPT = "a red circle and a blue square"


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def tensor(*pictures: np.ndarray, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(dtype) / 255


@pytest.mark.parametrize(
    ("before", "after"), [((97, 64), (224, 224)), ((224, 300), (31, 57)), ((9, 9), (9, 40))]
)
def test_resizing_gives_pillows_pixels(before: tuple[int, int], after: tuple[int, int]) -> None:
    picture = noise(*before)
    wanted = np.asarray(Image.fromarray(picture).resize(after[::-1], Image.Resampling.BICUBIC))
    ours = resized(tensor(picture, dtype=torch.float64), after[1], after[0])[0].permute(1, 2, 0) * 255
    assert np.abs(ours.numpy() - wanted).max() < 1e-6
    smooth = resized(tensor(picture, dtype=torch.float64), after[1], after[0], exact=False)[0]
    assert np.abs(smooth.clamp(0, 1).permute(1, 2, 0).numpy() * 255 - wanted).max() < 2


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judge]:
    folder = tmp_path_factory.mktemp("tiny")
    return {f: Judge(str(checkpoint(folder / f, f)), dtype="float64") for f in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_model_is_shown_what_the_processor_shows_it(judges: dict[str, Judge], family: str) -> None:
    """Both resizings on the way, rescaling, normalising and the order of patches."""
    judge, picture = judges[family], noise(90, 150)
    judge.max_pixels = 5000
    seen, _ = media.fit(media.load(picture), max_pixels=5000)
    wanted, grid = judge.backend._patches([seen])
    score = Differentiable(judge)
    ours, own = patches(score._seen(tensor(picture))[:, 0], judge.backend.processor.image_processor)
    assert own.tolist() == grid.tolist()
    assert (ours - wanted).abs().max() < 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_its_parts_are_those_of_the_reward(judges: dict[str, Judge], family: str) -> None:
    judge, pictures = judges[family], [noise(64, 64, 1), noise(64, 64, 2)]
    prompts = [PROMPT, "a green ring"]
    wanted = Reward(judge)(prompts=prompts, images=pictures)
    parts = Differentiable(judge).parts(tensor(*pictures), prompts=prompts)
    for n, result in enumerate(wanted):
        assert {name: float(value[n]) for name, value in parts.items()} == pytest.approx(
            result.parts, abs=1e-4
        )


def test_the_gradient_is_that_of_finite_differences(judges: dict[str, Judge]) -> None:
    score = Differentiable(judges["qwen3_vl"], exact=False, weights={"score": 1, "degradation": 0.5})
    # Away from black and white, where cutting to 0..1 makes a kink.
    images = (0.2 + 0.6 * tensor(noise(50, 70), dtype=torch.float64)).requires_grad_()
    (gradient,) = torch.autograd.grad(score(images, prompts=[PROMPT]).sum(), images)
    assert gradient.abs().max() > 0
    direction = torch.randn(images.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for way in (gradient / gradient.norm(), direction / direction.norm()):
        with torch.no_grad():
            up, down = (score(images + e * way, prompts=[PROMPT]).item() for e in (1e-3, -1e-3))
        assert (up - down) / 2e-3 == pytest.approx((gradient * way).sum().item(), rel=1e-2, abs=1e-4)


def test_rounding_lets_the_gradient_through(judges: dict[str, Judge]) -> None:
    images = tensor(noise(64, 64), dtype=torch.float64).requires_grad_()
    exact, smooth = (Differentiable(judges["qwen3_vl"], exact=e) for e in (True, False))
    ways = [
        torch.autograd.grad(s(images, prompts=[PROMPT]).sum(), images)[0].flatten() for s in (exact, smooth)
    ]
    assert torch.nn.functional.cosine_similarity(*ways, dim=0) > 0.99


def test_what_is_kept_for_the_gradient_does_not_grow_with_the_model(judges: dict[str, Judge]) -> None:
    """Between forward and backward only pixels and the few numbers read are kept, whatever the model's
    depth."""
    score, kept = Differentiable(judges["qwen3_vl"], batch=2), 0

    def pack(held: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += held.numel()
        return held

    images = torch.rand(8, 3, 64, 64, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held):
        scores = score(images, prompts=[PROMPT] * 8)
    scores.sum().backward()
    assert kept < 3 * images.numel()
    assert images.grad.abs().amax(dim=(1, 2, 3)).min() > 0


@pytest.mark.parametrize(
    ("images", "prompts"),
    [(torch.rand(3, 8, 8), [PROMPT]), (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), [PROMPT]),
     (torch.rand(2, 3, 8, 8), [PROMPT]), (torch.rand(1, 3, 8, 8), [""])],
)  # fmt: skip
def test_what_cannot_be_scored_is_refused(
    judges: dict[str, Judge], images: torch.Tensor, prompts: list
) -> None:
    with pytest.raises(InputError):
        Differentiable(judges["qwen3_vl"])(images, prompts=prompts)


def test_a_model_elsewhere_has_no_gradient() -> None:
    with pytest.raises(InputError, match="a model in this process"):
        Differentiable(Judge(backend=Scripted()))


def test_the_losses_fall_as_scores_rise_and_sampling_keeps_the_last_steps() -> None:
    low, high = torch.tensor([0.2, 0.4]), torch.tensor([0.6, 0.8])
    assert refl_loss(high) < refl_loss(low) and draft_loss(high) < draft_loss(low)
    assert refl_loss(torch.tensor([2.0])) == 0, "what has reached the margin pulls no longer"
    weight = torch.ones((), requires_grad=True)
    noise = torch.ones(1)
    out = sampled(lambda latents, t: latents * weight * t, noise, torch.tensor([2.0, 3.0, 5.0]), last=2)
    out.backward()
    assert out.item() == 30 and weight.grad.item() == 60


def test_the_embedded_judge_has_a_gradient_too(tmp_path: Path) -> None:
    from judge.scenes import draw

    scene, judge = draw(3), Judge(calibration=False)
    images = tensor(scene.image).requires_grad_()
    score = Differentiable(judge)(images, prompts=[scene.sample.prompt])
    (wanted,) = Reward(judge)(prompts=[scene.sample.prompt], images=[scene.image])
    assert score.item() == pytest.approx(wanted.score, abs=1e-4)
    score.sum().backward()
    assert images.grad.abs().max() > 0
