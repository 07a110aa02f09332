"""Writes a trained student as ONNX, and checks it against the trained network."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch

from finetune.distill.config import NetworkConfig
from finetune.distill.network import StudentNetwork, example_inputs
from judge.backends.student import CONFIG_FILE, NETWORK_FILE, StudentConfig

MAX_PROBABILITY_ERROR = 1e-4
"""Largest difference between the probabilities of the exported and the trained network."""


def export_student(network: StudentNetwork, student: StudentConfig, config: NetworkConfig, out: Path) -> None:
    """Write the folder of a student, and check that onnxruntime gives the same numbers as torch.

    Args:
        network: the trained network. Its auxiliary heads are removed.
        student: description of the student.
        config: sizes of the network.
        out: folder to write.

    Raises:
        RuntimeError: the numbers differ.
    """
    import onnxruntime

    network = network.remove_auxiliary_heads()
    out.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    names = ["whole", "patches", *(["pretrained"] if config.pretrained else [])]
    inputs = tuple(
        torch.randint(0, 256, part.shape, generator=generator).to(part.dtype)
        for part in example_inputs(config, 3)
    )
    partial_file = out / f".{NETWORK_FILE}.part"
    batch = torch.export.Dim("pictures")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of the exporter about itself
        torch.onnx.export(
            network, inputs, str(partial_file), input_names=names,
            output_names=["probabilities"], dynamic_shapes=tuple({0: batch} for _ in names), dynamo=True,
            external_data=False, verbose=False,
        )  # fmt: skip
    session = onnxruntime.InferenceSession(partial_file.read_bytes(), providers=["CPUExecutionProvider"])
    [exported] = session.run(None, {name: x.numpy() for name, x in zip(names, inputs, strict=True)})
    with torch.no_grad():
        error = float(np.abs(exported - network(*inputs).numpy()).max())
    if error > MAX_PROBABILITY_ERROR:
        raise RuntimeError(f"the probabilities of the exported student differ by {error:.1e}")
    (out / CONFIG_FILE).write_text(student.model_dump_json(indent=1) + "\n", "utf-8")
    partial_file.replace(out / NETWORK_FILE)
