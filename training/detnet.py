"""The embedded detector's network: a small anchor-free YOLOX head on a depthwise backbone.

Rows out are the YOLOX family's (Ge et al. 2021, arXiv 2107.08430): `(x, y, w, h, objectness, class...)` for
strides 8, 16, 32, undecoded; blocks are depthwise 5x5, expand, project (Liu et al. 2022, arXiv 2201.03545).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STRIDES = (8, 16, 32)
NAMES = ("product", "person")


def conv(cin: int, cout: int, k: int = 1, s: int = 1, *, groups: int = 1, act: bool = True) -> nn.Sequential:
    """Convolution, batch norm and, if asked for, ReLU (which onnxruntime fuses into the convolution)."""
    layers: list[nn.Module] = [
        nn.Conv2d(cin, cout, k, s, k // 2, groups=groups, bias=False),
        nn.BatchNorm2d(cout, momentum=0.03, eps=1e-3),
    ]
    if act:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class Block(nn.Module):
    """Depthwise 5x5, expand by `ratio`, project; residual."""

    def __init__(self, c: int, ratio: int = 2) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(c, c, 5, groups=c, act=False), conv(c, c * ratio), conv(c * ratio, c, act=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return x + self.body(x)


class Down(nn.Module):
    """Halve the picture: depthwise 5x5 with stride 2 after widening."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(cin, cin * 2), conv(cin * 2, cin * 2, 5, 2, groups=cin * 2), conv(cin * 2, cout, act=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.body(x)


class Pool(nn.Module):
    """Spatial pyramid pooling, fast form: three stacked 5x5 maxima beside the input."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.squeeze, self.out = conv(c, c // 2), conv(c * 2, c)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        a = self.squeeze(x)
        b = self.pool(a)
        c = self.pool(b)
        return self.out(torch.cat((a, b, c, self.pool(c)), 1))


class Fuse(nn.Module):
    """Depthwise 5x5 and a pointwise convolution, the neck's and head's only layer."""

    def __init__(self, c: int, k: int = 5) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(c, c, k, groups=c, act=False), conv(c, c))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.body(x)


class Detector(nn.Module):
    """float32 [B, 3, H, W], BGR 0..255 -> one raw map [B, 5 + classes, h, w] per stride (logits)."""

    def __init__(self, width: tuple[int, int, int, int, int] = (16, 16, 48, 96, 160), neck: int = 48) -> None:
        super().__init__()
        w0, w1, w2, w3, w4 = width
        self.stem = nn.Sequential(conv(3, w0, 3, 2), conv(w0, w1, 3, 2), Block(w1))
        self.stage2 = nn.Sequential(conv(w1, w2, 3, 2), Block(w2), Block(w2))
        self.stage3 = nn.Sequential(Down(w2, w3), *[Block(w3) for _ in range(3)])
        self.stage4 = nn.Sequential(Down(w3, w4), Block(w4), Block(w4), Pool(w4))
        self.lateral = nn.ModuleList(conv(c, neck) for c in (w2, w3, w4))
        self.top_down = nn.ModuleList(Fuse(neck) for _ in range(2))
        self.shrink = nn.ModuleList(conv(neck, neck, 5, 2, groups=neck, act=False) for _ in range(2))
        self.bottom_up = nn.ModuleList(Fuse(neck) for _ in range(2))
        self.cls_tower = nn.ModuleList(Fuse(neck) for _ in STRIDES)
        self.box_tower = nn.ModuleList(Fuse(neck) for _ in STRIDES)
        self.cls = nn.ModuleList(nn.Conv2d(neck, len(NAMES), 1) for _ in STRIDES)
        self.box = nn.ModuleList(nn.Conv2d(neck, 5, 1) for _ in STRIDES)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        for cls, box in zip(self.cls, self.box, strict=True):
            nn.init.constant_(cls.bias, -2.0)
            nn.init.normal_(box.weight, std=0.01)
            with torch.no_grad():
                box.bias.copy_(torch.tensor([0.5, 0.5, 1.2, 1.2, -4.6]))

    def forward(self, images: Tensor) -> list[Tensor]:
        """See the class."""
        c3 = self.stage2(self.stem(images * (1.0 / 64.0) - 1.8))
        c4 = self.stage3(c3)
        c5 = self.stage4(c4)
        p5 = self.lateral[2](c5)
        p4 = self.top_down[0](self.lateral[1](c4) + self.up(p5))
        p3 = self.top_down[1](self.lateral[0](c3) + self.up(p4))
        p4 = self.bottom_up[0](p4 + self.shrink[0](p3))
        p5 = self.bottom_up[1](p5 + self.shrink[1](p4))
        maps = []
        for i, feature in enumerate((p3, p4, p5)):
            box = self.box[i](self.box_tower[i](feature))
            maps.append(torch.cat((box, self.cls[i](self.cls_tower[i](feature))), 1))
        return maps


class Exported(nn.Module):
    """The detector as shipped: [1, 3, H, W] -> [1, N, 5 + classes], objectness and classes sigmoid."""

    def __init__(self, net: Detector) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        rows = torch.cat([m.reshape(1, 5 + len(NAMES), -1) for m in self.net(images)], 2).transpose(1, 2)
        return torch.cat((rows[..., :4], torch.sigmoid(rows[..., 4:])), 2)
