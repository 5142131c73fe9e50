"""Twelve services. `KINDS` has the class of each by name."""

from . import bank, calendar, files, flights, home, library, messages, music, restaurant, shop, tasks, tickets

MODULES = {
    module.__name__.rpartition(".")[2]: module
    for module in (bank, calendar, files, flights, home, library, messages, music, restaurant, shop, tasks, tickets)
}
"""The module of each service: its class, `state` and `request`."""
KINDS: dict[str, type] = {
    "bank": bank.Bank,
    "calendar": calendar.Calendar,
    "files": files.Files,
    "flights": flights.Flights,
    "home": home.Home,
    "library": library.Library,
    "messages": messages.Messages,
    "music": music.Music,
    "restaurant": restaurant.Restaurant,
    "shop": shop.Shop,
    "tasks": tasks.Tasks,
    "tickets": tickets.Tickets,
}
