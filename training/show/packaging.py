"""What each product of the show is made of and what is printed on it."""

from __future__ import annotations

from training.show import shapes, shoe
from training.show.labels import Print
from training.show.shapes import Part


def serum(title: str, line: str, paper: str, ink: str, accent: str, seed: int) -> list[Part]:
    return shapes.dropper(
        Print("LUMEN", title, line, "#6b3410", paper, ink, accent, "rings", (0.2, 0.3, 0.8, 0.86), seed=seed)
    )


def c_serum() -> list[Part]:
    return serum("VITAMIN C", "Glow serum 30 ml", "#f7e7cf", "#5b2c0c", "#ef8a1d", 1)


def h_serum() -> list[Part]:
    return serum("HYALURON", "Moisture serum 30 ml", "#dcecf5", "#123a5c", "#2b86c5", 2)


def tube() -> list[Part]:
    return shapes.tube(
        Print(
            "tide",
            "HAND CREAM",
            "Sea kelp & mint 75 ml",
            "#9fd8c4",
            "#9fd8c4",
            "#0d4a47",
            "#ffffff",
            "waves",
            None,
            seed=3,
            front=0.17,
        ),
        cap="#f5f7f5",
    )


def coffee() -> list[Part]:
    return shapes.carton(
        Print(
            "KOVA",
            "HOUSE BLEND",
            "Whole beans 250 g",
            "#1d2b53",
            "#1d2b53",
            "#ffe9c4",
            "#e4572e",
            "sun",
            (0, 0, 1, 1),
            seed=4,
            front=0.15,
        ),
        1.0,
        0.6,
        1.6,
    )


def honey() -> list[Part]:
    return shapes.jar(
        Print(
            "Fennmark",
            "Heather Honey",
            "Raw, 340 g",
            "#c9790c",
            "#fff6dd",
            "#3b2607",
            "#d9a514",
            "dots",
            (0.2, 0.26, 0.8, 0.84),
            True,
            seed=5,
        )
    )


def mug() -> list[Part]:
    return shapes.mug(
        Print(
            "Morrow",
            "good day",
            "stoneware",
            "#b5482f",
            "#f3e6d3",
            "#b5482f",
            "#2f3e46",
            "peaks",
            (0.0, 0.28, 1.0, 0.78),
            True,
            False,
            6,
            0.14,
        ),
        inside="#f3e6d3",
    )


def can() -> list[Part]:
    return shapes.can(
        Print(
            "PIKK",
            "YUZU SODA",
            "sparkling 330 ml",
            "#f4d21f",
            "#f4d21f",
            "#173f2a",
            "#e8436d",
            "leaf",
            (0, 0.1, 1, 0.9),
            back=True,
            seed=7,
            front=0.18,
        )
    )


def bag() -> list[Part]:
    return shapes.bag(
        Print("", "", "", "#a4562f", "#a4562f", "#a4562f", "#a4562f", "none", None, back=False, seed=8),
        trim="#84411f",
    )


def tea() -> list[Part]:
    return shapes.tin(
        Print(
            "OOLIN",
            "Jade Oolong",
            "loose leaf tea 100 g",
            "#24564a",
            "#efe6cf",
            "#1f3d36",
            "#c08b3e",
            "leaf",
            (0.24, 0.2, 0.76, 0.78),
            True,
            seed=9,
            front=0.14,
        )
    )


def sneaker() -> list[Part]:
    return shoe.shoe()


def flask() -> list[Part]:
    return shapes.flask(
        Print(
            "NORD",
            "TRAIL 750",
            "keeps warm 12 h",
            "#2f6f8f",
            "#2f6f8f",
            "#f2f5f5",
            "#f2b632",
            "peaks",
            None,
            back=False,
            seed=11,
            front=0.16,
        )
    )
