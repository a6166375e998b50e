"""The products of the show: ten that are for sale and one that stands about but is in no catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from training.show import packaging
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
    placement: str = "organic"


PRODUCTS: tuple[Product, ...] = (
    Product(
        "lumen-serum-c",
        "Lumen Vitamin C Glow Serum 30 ml",
        "Lumen",
        "Brightening serum with a stable vitamin C in an amber pipette bottle.",
        "24.00 EUR",
        "orange",
        "567",
        "Northlight Studio",
        packaging.c_serum,
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
        "Northlight Studio",
        packaging.h_serum,
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
        "Northlight Studio",
        packaging.tube,
    ),
    Product(
        "kova-house-blend",
        "Kova House Blend Coffee, Whole Beans 250 g",
        "Kova",
        "Medium roast, chocolate and orange peel, in a navy carton.",
        "11.90 EUR",
        "navy",
        "1868",
        "Northlight Studio",
        packaging.coffee,
    ),
    Product(
        "fennmark-honey",
        "Fennmark Raw Heather Honey 340 g",
        "Fennmark",
        "Unheated heather honey from the moor, glass jar with a gold lid.",
        "14.00 EUR",
        "amber",
        "4947",
        "Northlight Studio",
        packaging.honey,
    ),
    Product(
        "morrow-mug",
        "Morrow Stoneware Mug Good Day",
        "Morrow",
        "Hand-glazed stoneware mug in brick red with a cream band, 300 ml.",
        "18.00 EUR",
        "brick red",
        "2169",
        "Northlight Studio",
        packaging.mug,
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
        packaging.can,
    ),
    Product(
        "alda-bag",
        "Alda Small Leather Handbag Cognac",
        "Alda",
        "Cognac leather handbag with a flap, brass clasp and top handle.",
        "149.00 EUR",
        "cognac",
        "3032",
        "Northlight Studio",
        packaging.bag,
    ),
    Product(
        "oolin-tea-tin",
        "Oolin Jade Oolong Tea Tin 100 g",
        "Oolin",
        "Loose leaf oolong in a green tin with a slip lid.",
        "16.50 EUR",
        "green",
        "2073",
        "Northlight Studio",
        packaging.tea,
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
        packaging.sneaker,
        placement="paid",
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
        packaging.flask,
        sold=False,
    ),
)
BY_ID = {product.id: product for product in PRODUCTS}
