"""Training in several processes of one thread each, which average their gradients once a step.

On a few cores this is faster than one process with several threads: the processes wait for each other once a
step, and not once an operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

CPU = torch.device("cpu")


def training_device() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def training_dtype(device: torch.device = CPU) -> torch.dtype:
    """Return the dtype of parameters during training: bfloat16 where the device is fast at it, else float32.

    On a CPU without such instructions bfloat16 takes ten times as long (measured: 5 GFLOPS instead of 49).
    """
    fast = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def join_workers(rank: int, workers: int, port: int) -> None:
    """Join the process group of single-threaded workers; do nothing if there is one worker only.

    Args:
        rank: of this worker.
        workers: number of workers.
        port: on 127.0.0.1, where the workers meet.
    """
    if workers > 1:
        torch.set_num_threads(1)
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=workers)


class SharedOptimizer:
    """An optimizer whose gradients are the mean over all workers.

    The parameters of the modules may be bfloat16; the optimizers update float32 master weights. The matrices
    that Muon updates are divided among the workers. Each updates its own and sends the result to the others.

    Args:
        modules: their trainable parameters are optimized.
        lr: learning rate.
        rank: of this worker.
        workers: number of workers.
        adamw_only: use no Muon.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module],
        lr: float,
        rank: int = 0,
        workers: int = 1,
        *,
        adamw_only: bool = False,
    ) -> None:
        self.rank, self.workers, self.lr = rank, workers, lr
        named = [(n, p) for m in modules for n, p in m.named_parameters() if p.requires_grad]
        self.parameters = [p for _, p in named]
        self.masters = [nn.Parameter(p.detach().float().clone()) for p in self.parameters]
        # The square matrices of the mergers cost as much to orthogonalize as all others together: AdamW's.
        by_muon = [not adamw_only and p.ndim == 2 and ("blocks." in n or "layers." in n) for n, p in named]
        self.muon_masters = [m for m, muon in zip(self.masters, by_muon, strict=True) if muon]
        own = self.muon_masters[rank::workers]
        rest = [m for m, muon in zip(self.masters, by_muon, strict=True) if not muon]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
        ]
        if own:
            self.optimizers.append(
                torch.optim.Muon(own, lr=lr, weight_decay=0.03, adjust_lr_fn="match_rms_adamw")
            )

    def step(self, lr_factor: float, *numbers: float) -> list[float]:
        """Average the gradients, clip them to norm 1, and update the parameters.

        Args:
            lr_factor: the learning rate is multiplied by it.
            *numbers: numbers to average with the gradients.

        Returns:
            The mean of each of `numbers` over the workers.
        """
        grads = [
            (p.grad if p.grad is not None else torch.zeros_like(p)).float().flatten() for p in self.parameters
        ]
        flat = torch.cat([*grads, torch.tensor(numbers, device=grads[0].device)])
        if self.workers > 1:
            dist.all_reduce(flat)
            flat /= self.workers
        gradient, means = flat[: -len(numbers)], flat[-len(numbers) :].tolist()
        gradient *= min(1.0, 1.0 / (float(gradient.norm()) + 1e-6))
        for master, grad in zip(self.masters, gradient.split([m.numel() for m in self.masters]), strict=True):
            master.grad = grad.view_as(master)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.lr * lr_factor
            optimizer.step()
        if self.workers > 1 and self.muon_masters:
            self._exchange_muon_updates()
        with torch.no_grad():
            for p, master in zip(self.parameters, self.masters, strict=True):
                p.copy_(master)
                p.grad = None
        return means

    def _exchange_muon_updates(self) -> None:
        own = {id(m) for m in self.muon_masters[self.rank :: self.workers]}
        flat = torch.cat(
            [(m.detach() if id(m) in own else torch.zeros_like(m)).flatten() for m in self.muon_masters]
        )
        dist.all_reduce(flat)
        values = flat.split([m.numel() for m in self.muon_masters])
        for master, value in zip(self.muon_masters, values, strict=True):
            master.data.copy_(value.view_as(master))

    def state(self) -> dict[str, Any]:
        """Return the state of this worker: `masters` and `optimizers`."""
        return {
            "masters": [m.detach() for m in self.masters],
            "optimizers": [o.state_dict() for o in self.optimizers],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        with torch.no_grad():
            for p, master, value in zip(self.parameters, self.masters, state["masters"], strict=True):
                master.copy_(value)
                p.copy_(value)
        for o, saved in zip(self.optimizers, state["optimizers"], strict=True):
            o.load_state_dict(saved)

    def synchronize(self, step: int) -> int:
        """Copy the master weights and the step of the first worker to all workers, and return the step.

        A crash may have happened between the saves of two workers.
        """
        if self.workers == 1:
            return step
        flat = torch.cat([*(m.detach().flatten() for m in self.masters), torch.tensor([float(step)])])
        dist.broadcast(flat, 0)
        with torch.no_grad():
            values = flat[:-1].split([m.numel() for m in self.masters])
            for p, master, value in zip(self.parameters, self.masters, values, strict=True):
                master.copy_(value.view_as(master))
                p.copy_(master)
        return int(flat[-1])

    def copy_masters_into(self, modules: Sequence[nn.Module]) -> None:
        """Put the float32 master weights into the modules, which become float32."""
        for module in modules:
            module.float()
        with torch.no_grad():
            for p, master in zip(self.parameters, self.masters, strict=True):
                p.data = master.data.clone()
