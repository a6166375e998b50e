"""What may be shown, with which label, leading where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, urlsplit

from overlay.messages import Card
from overlay.types import Product, ShowList

MAX_LINK = 2048


@dataclass(frozen=True, slots=True)
class Consent:
    """What the host agreed to. Nothing is recognised by default.

    Attributes:
        recognition: products may be recognised in the picture.
        stopped: catalogue ids suppressed at once (a counterfeit report, a recall).
        all_stopped: the switch that suppresses every hotspot (a sensitive scene).
    """

    recognition: bool = False
    stopped: frozenset[str] = frozenset()
    all_stopped: bool = False

    @staticmethod
    def of_show(products: int) -> Consent:
        """A host who starts a show with a catalogue agrees to that catalogue being recognised."""
        return Consent(recognition=products > 0)

    def stop(self, product_id: str) -> Consent:
        """This consent without one more product."""
        return replace(self, stopped=self.stopped | {product_id})

    def limit(self, shown: ShowList) -> ShowList:
        """`shown`, cut down to what was agreed to."""
        return replace(
            shown,
            recognition=shown.recognition and self.recognition and not self.all_stopped,
            hidden=shown.hidden | self.stopped,
        )


@dataclass(frozen=True, slots=True)
class ShopPolicy:
    """Whose shop this is.

    Attributes:
        own_seller: the host's shop, as products name it in ``seller``; a product without a seller is its own.
        partners: sellers preferred over strangers.
        link_hosts: host names that links may lead to (and their subdomains); empty allows all.
    """

    own_seller: str = ""
    partners: frozenset[str] = frozenset()
    link_hosts: frozenset[str] = frozenset()

    def is_third_party(self, product: Product) -> bool:
        """Sold by somebody else than the host's own shop."""
        return bool(product.seller) and product.seller != self.own_seller

    def label(self, product: Product) -> str:
        """Disclosure: that it is paid for, or sold by somebody else, and on whose behalf. Empty when neither.

        Sources: FTC 16 CFR 255 (clear and conspicuous), DSA Article 26 (on whose behalf).
        """
        if product.placement == "paid":
            return f"Paid placement by {product.seller or product.brand or 'the seller'}"
        if self.is_third_party(product):
            return f"Sold by {product.seller}"
        return ""

    def link(self, url: str) -> str:
        """`url` if a viewer may be sent there, else an empty string.

        http and https only, a host name, no credentials, no control characters, at most 2048 characters.
        """
        if len(url) > MAX_LINK or any(ord(char) <= 0x20 or ord(char) == 0x7F for char in url):
            return ""
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            return ""
        if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
            return ""
        if self.link_hosts and not any(
            host == allowed or host.endswith("." + allowed) for allowed in self.link_hosts
        ):
            return ""
        return url

    def route(self, offers: Sequence[Product]) -> Product:
        """The offer of one article to show: own shop, then a partner, then a third party; in order of offers.

        Raises:
            ValueError: no offers.
        """
        if not offers:
            raise ValueError("got no offers to choose from, expected at least one")

        def distance(offer: Product) -> int:
            if not self.is_third_party(offer):
                return 0
            return 1 if offer.seller in self.partners else 2

        return min(offers, key=distance)

    def card(self, product: Product, pid: int, image: str) -> Card:
        """What viewers are shown of `product`. `image`: address of its picture on this server."""
        return Card(
            pid=pid,
            id=product.id,
            title=product.title,
            price=product.price,
            link=self.link(product.link),
            image=image,
            seller=product.seller or self.own_seller,
            availability=product.availability.value,
            sale_price=product.sale_price,
            brand=product.brand,
            description=product.description,
            label=self.label(product),
            third_party=self.is_third_party(product),
        )

    def cards(
        self, products: Sequence[Product], pids: Mapping[str, int], image: str = "/images/{id}/0"
    ) -> tuple[Card, ...]:
        """Cards of a whole show. `image` is a pattern with ``{id}``, which is percent-encoded."""
        return tuple(
            self.card(item, pids[item.id], image.format(id=quote(item.id, safe=""))) for item in products
        )
