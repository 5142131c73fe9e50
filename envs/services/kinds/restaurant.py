"""A restaurant with tables and orders."""

import random

from .request import Request, at, call, check_time, counted, known

DISHES = {"soup": 6, "salad": 8, "pasta": 12, "risotto": 14, "fish": 19, "curry": 13, "cake": 5, "ice cream": 4}
GUESTS = ("Alvarez", "Bakker", "Castelli", "Dupont", "Eriksen", "Fischer")


class Restaurant:
    """A menu with prices, tables that are reserved by name, and what each table has ordered."""

    def __init__(
        self, menu: dict[str, int], seats: int, reservations: dict[str, dict[str, object]], orders: dict[str, list[str]]
    ):
        self.menu, self.seats, self.reservations, self.orders = menu, seats, reservations, orders

    def dish_price(self, dish: str) -> int:
        """Returns the price of a dish in euros.

        Args:
            dish: name of the dish.
        """
        known(dish, self.menu, "dish")
        return self.menu[dish]

    def free_seats(self) -> int:
        """Returns the number of seats that are not reserved."""
        return self.seats - sum(int(str(each["persons"])) for each in self.reservations.values())

    def reserve_table(self, name: str, persons: int, time: str) -> str:
        """Reserves a table.

        Args:
            name: family name of the guest.
            persons: number of persons.
            time: time of arrival, such as "19:30".
        """
        if name in self.reservations:
            raise ValueError(f"there is a reservation for {name} already")
        if not 1 <= persons <= self.free_seats():
            raise ValueError(f"{self.free_seats()} seats are free")
        check_time(time)
        self.reservations[name] = {"persons": persons, "time": time}
        return "reserved"

    def change_time(self, name: str, time: str) -> str:
        """Changes the time of a reservation.

        Args:
            name: family name of the guest.
            time: new time of arrival, such as "19:30".
        """
        known(name, self.reservations, "reservation for")
        check_time(time)
        self.reservations[name]["time"] = time
        return "changed"

    def order_dish(self, name: str, dish: str) -> str:
        """Orders a dish for the table of a guest.

        Args:
            name: family name of the guest.
            dish: name of the dish.
        """
        known(name, self.reservations, "reservation for")
        known(dish, self.menu, "dish")
        self.orders.setdefault(name, []).append(dish)
        return "ordered"

    def table_bill(self, name: str) -> int:
        """Returns the price of all that a table has ordered, in euros.

        Args:
            name: family name of the guest.
        """
        known(name, self.reservations, "reservation for")
        return sum(self.menu[dish] for dish in self.orders.get(name, []))


def state(rng: random.Random) -> dict[str, object]:
    """Returns a random initial state."""
    reservations = {
        name: {"persons": rng.randint(1, 4), "time": at(rng.randint(17, 21), rng.choice([0, 30]))}
        for name in rng.sample(GUESTS, 2)
    }
    return {
        "menu": {dish: price + rng.randint(0, 4) for dish, price in DISHES.items()},
        "seats": rng.randint(14, 30),
        "reservations": reservations,
        "orders": {name: rng.sample(sorted(DISHES), 2) for name in reservations if rng.random() < 0.5},
    }


def request(rng: random.Random, restaurant: Restaurant) -> Request:
    """Returns a request that can be done now."""
    name, dish = rng.choice(sorted(restaurant.reservations)), rng.choice(sorted(restaurant.menu))
    time, persons, free = at(rng.randint(17, 21), rng.choice([0, 15, 30])), rng.randint(1, 4), restaurant.free_seats()
    options = [
        Request(
            f"Tell me what the {dish} costs.",
            [call("dish_price", dish=dish)],
            [str(restaurant.menu[dish])],
            "Tell me what a dish costs.",
            f"The {dish}.",
        ),
        Request("Tell me how many seats are free.", [call("free_seats")], [str(free)]),
        Request(
            f"The table of {name} orders the {dish}.",
            [call("order_dish", name=name, dish=dish)],
            vague=f"The table of {name} wants to order something.",
            detail=f"They take the {dish}.",
        ),
    ]
    if restaurant.reservations[name]["time"] != time:
        options.append(
            Request(
                f"{name} will come at {time} instead.",
                [call("change_time", name=name, time=time)],
                vague=f"{name} will come at another time.",
                detail=f"At {time}.",
            )
        )
    if restaurant.orders.get(name):
        options.append(
            Request(
                f"Tell me what the table of {name} has to pay.",
                [call("table_bill", name=name)],
                [str(restaurant.table_bill(name))],
            )
        )
    new = [each for each in GUESTS if each not in restaurant.reservations]
    if new and persons <= free:
        guest = rng.choice(new)
        options.append(
            Request(
                f"Reserve a table for {guest}, {counted(persons, 'person')}, at {time}.",
                [call("reserve_table", name=guest, persons=persons, time=time)],
                vague=f"Reserve a table for {guest} at {time}.",
                detail=f"For {counted(persons, 'person')}.",
            )
        )
    return rng.choice(options)
