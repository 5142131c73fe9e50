"""A shop with a basket and orders."""

import random

from .request import Request, call, known

ITEMS = ("kettle", "lamp", "backpack", "notebook", "umbrella", "headphones", "blanket", "water bottle", "clock", "basket")
STREETS = ("Mill Lane 4", "Hill Road 12", "Park Street 7", "Station Square 1", "River Walk 33")


class Shop:
    """A shop with a stock, one basket, and orders by number."""

    def __init__(self, stock: dict[str, dict[str, int]], basket: dict[str, int], orders: dict[str, dict[str, object]]):
        self.stock, self.basket, self.orders = stock, basket, orders

    def find_item(self, item: str) -> dict[str, int]:
        """Returns the price of an item in euros, and how many are in stock.

        Args:
            item: name of the item.
        """
        known(item, self.stock, "item")
        return self.stock[item]

    def add_to_basket(self, item: str, count: int = 1) -> str:
        """Puts an item into the basket.

        Args:
            item: name of the item.
            count: how many.
        """
        known(item, self.stock, "item")
        if count < 1 or self.basket.get(item, 0) + count > self.stock[item]["count"]:
            raise ValueError(f"there are {self.stock[item]['count']} of {item}")
        self.basket[item] = self.basket.get(item, 0) + count
        return "added"

    def remove_from_basket(self, item: str) -> str:
        """Takes an item out of the basket, however many there are.

        Args:
            item: name of the item.
        """
        known(item, self.basket, "item in the basket:")
        del self.basket[item]
        return "removed"

    def basket_total(self) -> int:
        """Returns the price of all that is in the basket, in euros."""
        return sum(self.stock[item]["price"] * count for item, count in self.basket.items())

    def order_basket(self, address: str) -> dict[str, object]:
        """Orders what is in the basket, and empties it. Returns the number of the order and its price.

        Args:
            address: street and number.
        """
        if not self.basket:
            raise ValueError("the basket is empty")
        number = f"A{1 + max((int(order[1:]) for order in self.orders), default=99)}"
        total = self.basket_total()
        for item, count in self.basket.items():
            self.stock[item]["count"] -= count
        self.orders[number] = {"items": dict(self.basket), "address": address, "total": total}
        self.basket.clear()
        return {"order": number, "total": total}

    def cancel_order(self, order: str) -> str:
        """Cancels an order.

        Args:
            order: number of the order, such as "A100".
        """
        known(order, self.orders, "order")
        items = self.orders.pop(order)["items"]
        assert isinstance(items, dict)
        for item, count in items.items():
            self.stock[item]["count"] += count
        return "cancelled"


def state(rng: random.Random) -> dict[str, object]:
    """Returns a random initial state."""
    stock = {item: {"price": rng.randint(4, 90), "count": rng.randint(3, 9)} for item in rng.sample(ITEMS, 5)}
    basket = {item: rng.randint(1, 2) for item in rng.sample(sorted(stock), rng.randint(0, 2))}
    orders = {
        f"A{100 + number}": {"items": {item: 1}, "address": rng.choice(STREETS), "total": stock[item]["price"]}
        for number, item in enumerate(rng.sample(sorted(stock), rng.randint(0, 2)))
    }
    return {"stock": stock, "basket": basket, "orders": orders}


def request(rng: random.Random, shop: Shop) -> Request:
    """Returns a request that the shop can do now."""
    item, street = rng.choice(sorted(shop.stock)), rng.choice(STREETS)
    count = rng.randint(1, 3)
    options = [
        Request(
            f"Tell me what a {item} costs.",
            [call("find_item", item=item)],
            [str(shop.stock[item]["price"])],
            "Tell me what it costs.",
            f"I mean the {item}.",
        )
    ]
    if shop.basket.get(item, 0) + count <= shop.stock[item]["count"]:
        options.append(
            Request(
                f"Put {count} of the item {item} into my basket.",
                [call("add_to_basket", item=item, count=count)],
                vague="Put something into my basket.",
                detail=f"I mean {count} of the item {item}.",
            )
        )
    if shop.basket:
        inside = rng.choice(sorted(shop.basket))
        options += [
            Request("Tell me what my basket costs in all.", [call("basket_total")], [str(shop.basket_total())]),
            Request(
                f"Take the {inside} out of my basket.",
                [call("remove_from_basket", item=inside)],
                vague="Take something out of my basket." if len(shop.basket) > 1 else "",
                detail=f"The {inside}.",
            ),
            Request(
                f"Order what is in my basket to {street}.",
                [call("order_basket", address=street)],
                vague="Order what is in my basket.",
                detail=f"Send it to {street}.",
            ),
        ]
    if shop.orders:
        order = rng.choice(sorted(shop.orders))
        options.append(
            Request(
                f"Cancel my order {order}.",
                [call("cancel_order", order=order)],
                vague="Cancel an order." if len(shop.orders) > 1 else "",
                detail=f"The number is {order}.",
            )
        )
    return rng.choice(options)
