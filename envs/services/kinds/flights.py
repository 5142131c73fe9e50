"""Flights of one day, and bookings."""

import random

from .request import Request, at, call, counted, known

CITIES = ("Oslo", "Lisbon", "Vienna", "Athens", "Dublin", "Prague", "Riga", "Turin")
PASSENGERS = ("Ida Holm", "Luis Costa", "Mara Weiss", "Nikos Lambros", "Orla Byrne", "Petr Novak")


class Flights:
    """Flights by number, and bookings by code."""

    def __init__(self, flights: dict[str, dict[str, object]], bookings: dict[str, dict[str, object]]):
        self.flights, self.bookings = flights, bookings

    def search_flights(self, origin: str, destination: str) -> list[dict[str, object]]:
        """Returns the flights between two cities, the cheapest first.

        Args:
            origin: city of departure.
            destination: city of arrival.
        """
        found = [
            {"flight": number, "departure": flight["departure"], "price": flight["price"], "seats": flight["seats"]}
            for number, flight in self.flights.items()
            if (flight["origin"], flight["destination"]) == (origin, destination)
        ]
        return sorted(found, key=lambda flight: (int(str(flight["price"])), str(flight["flight"])))

    def book_flight(self, flight: str, passenger: str) -> str:
        """Books a seat. Returns the code of the booking.

        Args:
            flight: number of the flight, such as "TF210".
            passenger: full name of the passenger.
        """
        known(flight, self.flights, "flight")
        seats = self.flights[flight]["seats"]
        assert isinstance(seats, int)
        if seats < 1:
            raise ValueError(f"the flight {flight} has no seat left")
        self.flights[flight]["seats"] = seats - 1
        code = f"B{len(self.bookings) + 1:03d}"
        self.bookings[code] = {"flight": flight, "passenger": passenger, "bags": 0}
        return code

    def add_bags(self, booking: str, count: int) -> str:
        """Adds bags to a booking.

        Args:
            booking: code of the booking, such as "B001".
            count: number of further bags.
        """
        known(booking, self.bookings, "booking")
        bags = self.bookings[booking]["bags"]
        assert isinstance(bags, int)
        if count < 1 or bags + count > 4:
            raise ValueError("a booking has at most 4 bags")
        self.bookings[booking]["bags"] = bags + count
        return "added"

    def cancel_booking(self, booking: str) -> str:
        """Cancels a booking. The code is not used again.

        Args:
            booking: code of the booking, such as "B001".
        """
        known(booking, self.bookings, "booking")
        if self.bookings[booking].get("cancelled"):
            raise ValueError(f"the booking {booking} is cancelled already")
        self.bookings[booking]["cancelled"] = True
        return "cancelled"


def state(rng: random.Random) -> dict[str, object]:
    """Returns a random initial state: two flights on each of three connections, with different prices."""
    flights: dict[str, dict[str, object]] = {}
    numbers = iter(rng.sample(range(100, 999), 6))
    for _ in range(3):
        origin, destination = rng.sample(CITIES, 2)
        for price in rng.sample(range(60, 400), 2):
            departure = at(rng.randint(6, 21), rng.choice([0, 20, 40]))
            flights[f"TF{next(numbers)}"] = {
                "origin": origin,
                "destination": destination,
                "departure": departure,
                "price": price,
                "seats": rng.randint(2, 9),
            }
    return {"flights": flights, "bookings": {}}


def request(rng: random.Random, flights: Flights) -> Request:
    """Returns a request that can be done now."""
    flight, passenger = rng.choice(sorted(flights.flights)), rng.choice(PASSENGERS)
    origin, destination = (str(flights.flights[flight][name]) for name in ("origin", "destination"))
    search = call("search_flights", origin=origin, destination=destination)
    cheapest = flights.search_flights(origin, destination)[0]
    options = [
        Request(
            f"Find out what the cheapest flight from {origin} to {destination} costs.",
            [search],
            [str(cheapest["price"])],
            f"Find out what the cheapest flight from {origin} costs.",
            f"I want to go to {destination}.",
        )
    ]
    if int(str(flights.flights[flight]["seats"])) > 0:
        options.append(
            Request(
                f"Book the flight {flight} for {passenger}.",
                [call("book_flight", flight=flight, passenger=passenger)],
                vague=f"Book the flight {flight}.",
                detail=f"It is for {passenger}.",
            )
        )
    if int(str(cheapest["seats"])) > 0:
        options.append(
            Request(
                f"Book the cheapest flight from {origin} to {destination} for {passenger}.",
                [search, call("book_flight", flight=cheapest["flight"], passenger=passenger)],
                vague=f"Book the cheapest flight from {origin} to {destination}.",
                detail=f"The passenger is {passenger}.",
            )
        )
    if kept := [code for code, booking in flights.bookings.items() if not booking.get("cancelled")]:
        code, count = rng.choice(kept), rng.randint(1, 2)
        options.append(
            Request(
                f"Cancel the booking {code}.",
                [call("cancel_booking", booking=code)],
                vague="Cancel a booking." if len(kept) > 1 else "",
                detail=f"Its code is {code}.",
            )
        )
        if int(str(flights.bookings[code]["bags"])) + count <= 4:
            options.append(
                Request(f"Add {counted(count, 'bag')} to the booking {code}.", [call("add_bags", booking=code, count=count)])
            )
    return rng.choice(options)
