"""What every training has in common: schedule over a set time, averaged weights, progress, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn


class Ema:
    """Exponential moving average of a network's state."""

    def __init__(self, net: nn.Module, decay: float = 0.9985) -> None:
        self.decay, self.steps = decay, 0
        self.state = {k: v.detach().clone() for k, v in net.state_dict().items()}

    def update(self, net: nn.Module) -> None:
        """Take in the newest weights."""
        self.steps += 1
        d = self.decay * (1 - math.exp(-self.steps / 300))
        with torch.no_grad():
            for key, value in net.state_dict().items():
                if value.dtype.is_floating_point:
                    self.state[key].mul_(d).add_(value, alpha=1 - d)
                else:
                    self.state[key].copy_(value)


class Pace:
    """How far training is, 0..1, when it ends at a set time on a machine whose speed changes.

    It is the share of the pictures seen so far in all that will have been seen at the end, at the pace of the
    last minutes: on a machine that becomes free the schedule waits for the pictures, not for the clock.
    """

    def __init__(self, minutes: float, memory_s: float = 150.0) -> None:
        self.begin = self.last = time.monotonic()
        self.end, self.memory_s = self.begin + minutes * 60, memory_s
        self.seen, self.rate, self.done = 0, 0.0, 0.0

    def step(self, pictures: int) -> float:
        """Count pictures just seen; returns how far training is."""
        now = time.monotonic()
        took, self.last = max(now - self.last, 1e-3), now
        weight = min(1.0, took / min(self.memory_s, now - self.begin))
        self.rate += weight * (pictures / took - self.rate)
        self.seen += pictures
        self.done = min(1.0, self.seen / (self.seen + self.rate * max(self.end - now, 0.0)))
        return self.done

    @property
    def over(self) -> bool:
        """The set time has come."""
        return time.monotonic() >= self.end


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast.

    Attributes:
        minutes: of wall time.
        lr: at its highest; rises over `warm` steps, then falls along a cosine to the share `floor` of itself.
        decay: weight decay of matrices and kernels; biases and norms have none.
        average: decay of the moving average, which is what checkpoints hold.
        clip: longest gradient.
    """

    minutes: float
    lr: float
    decay: float = 0.02
    warm: int = 200
    floor: float = 0.01
    average: float = 0.998
    clip: float = 5.0

    def rate(self, step: int, done: float) -> float:
        """Learning rate of a step when training is so far."""
        wave = (1 + math.cos(math.pi * done)) / 2
        return self.lr * min(1.0, (step + 1) / self.warm) * (self.floor + (1 - self.floor) * wave)


Step = Callable[[float], tuple[Tensor, dict[str, float], int]]
"""How far training is -> loss, its parts for the log, pictures seen."""


class Loop:
    """One training. `pace` is there from the start, for whoever prepares pictures ahead.

    Args:
        net: its averaged state is what is saved.
        plan: see `Plan`.
        checkpoint: where the state goes, every other minute and at the end.
        beside: trained along but not saved, such as proxies.
    """

    def __init__(self, net: nn.Module, plan: Plan, checkpoint: Path, beside: nn.Module | None = None) -> None:
        self.plan, self.net, self.checkpoint = plan, net, checkpoint
        self.pace, self.ema = Pace(plan.minutes), Ema(net, plan.average)
        both = [*net.parameters(), *(beside.parameters() if beside else ())]
        self.weights = [p for p in both if p.requires_grad]
        groups = [
            {"params": [p for p in self.weights if p.ndim > 1], "weight_decay": plan.decay},
            {"params": [p for p in self.weights if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=plan.lr, fused=True)

    def run(self, step: Step) -> None:
        """Until the time is over; prints how it goes."""
        pace, count, saved, mean = self.pace, 0, self.pace.begin, {}
        while not pace.over:
            rate = self.plan.rate(count, pace.done)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            total, parts, pictures = step(pace.done)
            self.optimiser.zero_grad(set_to_none=True)
            total.backward()
            nn.utils.clip_grad_norm_(self.weights, self.plan.clip)
            self.optimiser.step()
            self.ema.update(self.net)
            count, done = count + 1, pace.step(pictures)
            mean = {k: 0.98 * mean.get(k, v) + 0.02 * v for k, v in parts.items()}
            if count % 50 == 0:
                text = " ".join(f"{k} {v:.3f}" for k, v in mean.items())
                print(f"{done:5.1%} {pace.seen} seen {pace.rate:.1f}/s lr {rate:.1e} {text}", flush=True)
            if pace.last - saved > 120:
                saved = pace.last
                torch.save(self.ema.state, self.checkpoint)
        torch.save(self.ema.state, self.checkpoint)
        print(f"seen {pace.seen} pictures in {pace.last - pace.begin:.0f} s", flush=True)
