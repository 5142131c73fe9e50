"""A library with loans and reservations."""

import random

from .request import Request, call, counted, known

BOOKS = (
    "The Salt Road",
    "A Short Winter",
    "Maps of Wind",
    "The Ninth Bridge",
    "Gardens of Clay",
    "The Quiet Engine",
    "Letters from Home",
)


class Library:
    """Books with copies on the shelf, and the loans and reservations of one reader."""

    def __init__(self, copies: dict[str, int], loans: dict[str, int], reserved: list[str]):
        self.copies, self.loans, self.reserved = copies, loans, reserved

    def copies_of(self, book: str) -> int:
        """Returns how many copies of a book are on the shelf.

        Args:
            book: title of the book.
        """
        known(book, self.copies, "book")
        return self.copies[book]

    def borrow_book(self, book: str, weeks: int) -> str:
        """Borrows a book.

        Args:
            book: title of the book.
            weeks: for how many weeks, 1 to 6.
        """
        known(book, self.copies, "book")
        if book in self.loans:
            raise ValueError(f"you have {book} already")
        if not self.copies[book]:
            raise ValueError(f"no copy of {book} is on the shelf; it can be reserved")
        if not 1 <= weeks <= 6:
            raise ValueError("a loan is for 1 to 6 weeks")
        self.copies[book] -= 1
        self.loans[book] = weeks
        return "borrowed"

    def return_book(self, book: str) -> str:
        """Returns a borrowed book.

        Args:
            book: title of the book.
        """
        known(book, self.loans, "loan of")
        del self.loans[book]
        self.copies[book] += 1
        return "returned"

    def extend_loan(self, book: str, weeks: int) -> str:
        """Adds weeks to a loan.

        Args:
            book: title of the book.
            weeks: further weeks.
        """
        known(book, self.loans, "loan of")
        if weeks < 1 or self.loans[book] + weeks > 10:
            raise ValueError("a loan is for at most 10 weeks")
        self.loans[book] += weeks
        return "extended"

    def reserve_book(self, book: str) -> str:
        """Reserves a book of which no copy is on the shelf.

        Args:
            book: title of the book.
        """
        known(book, self.copies, "book")
        if self.copies[book]:
            raise ValueError(f"{self.copies[book]} copies of {book} are on the shelf; borrow one")
        if book in self.reserved:
            raise ValueError(f"{book} is reserved already")
        self.reserved.append(book)
        return "reserved"


def state(rng: random.Random) -> dict[str, object]:
    """Returns a random initial state."""
    books = rng.sample(BOOKS, 5)
    return {
        "copies": {book: rng.choice([0, 0, 1, 2, 3]) for book in books},
        "loans": {books[0]: rng.randint(1, 4)},
        "reserved": [],
    }


def request(rng: random.Random, library: Library) -> Request:
    """Returns a request that can be done now."""
    book, weeks = rng.choice(sorted(library.copies)), rng.randint(1, 6)
    copies = library.copies[book]
    options = [
        Request(f"Tell me how many copies of {book} are on the shelf.", [call("copies_of", book=book)], [str(copies)]),
    ]
    if book not in library.loans:
        if copies:
            borrow = call("borrow_book", book=book, weeks=weeks)
            options += [
                Request(
                    f"Borrow {book} for {counted(weeks, 'week')}.",
                    [borrow],
                    vague=f"Borrow {book} for me.",
                    detail=f"For {counted(weeks, 'week')}.",
                ),
                # The policy has to find out which of the two is possible.
                Request(f"If {book} is on the shelf, borrow it for {counted(weeks, 'week')}, else reserve it.", [borrow]),
            ]
        elif book not in library.reserved:
            reserve = call("reserve_book", book=book)
            options += [
                Request(f"Reserve {book}.", [reserve], vague="Reserve a book for me.", detail=f"I mean {book}."),
                Request(f"If {book} is on the shelf, borrow it for {counted(weeks, 'week')}, else reserve it.", [reserve]),
            ]
    if library.loans:
        lent = rng.choice(sorted(library.loans))
        options.append(
            Request(
                f"Return {lent}.",
                [call("return_book", book=lent)],
                vague="Return one of my books." if len(library.loans) > 1 else "",
                detail=f"I mean {lent}.",
            )
        )
        if library.loans[lent] + weeks <= 10:
            options.append(
                Request(
                    f"Keep {lent} for {counted(weeks, 'more week')}.",
                    [call("extend_loan", book=lent, weeks=weeks)],
                    vague=f"Keep {lent} for some more weeks.",
                    detail=f"{counted(weeks, 'week')}.",
                )
            )
    return rng.choice(options)
