"""The products of the show: ten that are for sale and one that stands about but is in no catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from training.show import shapes
from training.show.labels import Print
from training.show.shapes import Part


@dataclass(frozen=True, slots=True)
class Product:
    """One fictional product. sold: whether it is in the catalogue; twin: the id of its look-alike or ""."""

    id: str
    title: str
    brand: str
    description: str
    price: str
    color: str
    category: str
    seller: str
    build: Callable[[], list[Part]]
    sold: bool = True
    twin: str = ""


def _serum(title: str, line: str, paper: str, ink: str, accent: str, seed: int) -> list[Part]:
    return shapes.dropper(
        Print("LUMEN", title, line, "#6b3410", paper, ink, accent, "rings", (0.2, 0.3, 0.8, 0.86), seed=seed)
    )


def _c_serum() -> list[Part]:
    return _serum("VITAMIN C", "Glow serum 30 ml", "#f7e7cf", "#5b2c0c", "#ef8a1d", 1)


def _h_serum() -> list[Part]:
    return _serum("HYALURON", "Moisture serum 30 ml", "#dcecf5", "#123a5c", "#2b86c5", 2)


def _tube() -> list[Part]:
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


def _coffee() -> list[Part]:
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


def _honey() -> list[Part]:
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


def _mug() -> list[Part]:
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


def _can() -> list[Part]:
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


def _bag() -> list[Part]:
    return shapes.bag(
        Print("", "", "", "#a4562f", "#a4562f", "#a4562f", "#a4562f", "none", None, back=False, seed=8),
        trim="#84411f",
    )


def _tea() -> list[Part]:
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


def _sneaker() -> list[Part]:
    return shapes.shoe()


def _flask() -> list[Part]:
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


PRODUCTS: tuple[Product, ...] = (
    Product(
        "lumen-serum-c",
        "Lumen Vitamin C Glow Serum 30 ml",
        "Lumen",
        "Brightening serum with a stable vitamin C in an amber pipette bottle.",
        "24.00 EUR",
        "orange",
        "567",
        "Lumen Skin Studio",
        _c_serum,
        twin="lumen-serum-h",
    ),
    Product(
        "lumen-serum-h",
        "Lumen Hyaluron Moisture Serum 30 ml",
        "Lumen",
        "Light moisture serum with hyaluron in an amber pipette bottle.",
        "26.00 EUR",
        "blue",
        "567",
        "Lumen Skin Studio",
        _h_serum,
        twin="lumen-serum-c",
    ),
    Product(
        "tide-hand-cream",
        "Tide Hand Cream Sea Kelp & Mint 75 ml",
        "tide",
        "Fast-drying hand cream in a soft tube that stands on its cap.",
        "9.50 EUR",
        "mint",
        "2592",
        "Harbour Apothecary",
        _tube,
    ),
    Product(
        "kova-house-blend",
        "Kova House Blend Coffee, Whole Beans 250 g",
        "Kova",
        "Medium roast, chocolate and orange peel, in a navy carton.",
        "11.90 EUR",
        "navy",
        "1868",
        "Kova Roasters",
        _coffee,
    ),
    Product(
        "fennmark-honey",
        "Fennmark Raw Heather Honey 340 g",
        "Fennmark",
        "Unheated heather honey from the moor, glass jar with a gold lid.",
        "14.00 EUR",
        "amber",
        "4947",
        "Fennmark Farm",
        _honey,
    ),
    Product(
        "morrow-mug",
        "Morrow Stoneware Mug Good Day",
        "Morrow",
        "Hand-glazed stoneware mug in brick red with a cream band, 300 ml.",
        "18.00 EUR",
        "brick red",
        "2169",
        "Morrow Ceramics",
        _mug,
    ),
    Product(
        "pikk-yuzu",
        "Pikk Yuzu Soda 330 ml",
        "Pikk",
        "Sparkling yuzu soda, little sugar, slim can.",
        "2.40 EUR",
        "yellow",
        "2628",
        "Pikk Drinks",
        _can,
    ),
    Product(
        "alda-bag",
        "Alda Small Leather Handbag Cognac",
        "Alda",
        "Cognac leather handbag with a flap, brass clasp and top handle.",
        "149.00 EUR",
        "cognac",
        "3032",
        "Alda Leather",
        _bag,
    ),
    Product(
        "oolin-tea-tin",
        "Oolin Jade Oolong Tea Tin 100 g",
        "Oolin",
        "Loose leaf oolong in a green tin with a slip lid.",
        "16.50 EUR",
        "green",
        "2073",
        "Oolin Tea House",
        _tea,
    ),
    Product(
        "strid-court",
        "Strid Court Sneaker White / Red",
        "Strid",
        "Low leather sneaker with two red stripes.",
        "89.00 EUR",
        "white",
        "187",
        "Strid Sport",
        _sneaker,
    ),
    Product(
        "nord-flask",
        "Nord Trail Flask 750 ml",
        "Nord",
        "The presenter's own flask, which nobody sells.",
        "0.00 EUR",
        "teal",
        "",
        "",
        _flask,
        sold=False,
    ),
)
BY_ID = {product.id: product for product in PRODUCTS}
