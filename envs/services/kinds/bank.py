"""A bank with accounts, transfers and standing orders."""

import random

from .request import Request, call, known

ACCOUNTS = "checking savings holiday household business emergency".split()
PAYEES = ("Rent Office", "City Power", "Water Works", "Fibre Net", "Green Gym", "Music School", "Tax Office", "Car Club")


class Bank:
    """Accounts of one customer, in whole euros."""

    def __init__(self, accounts: dict[str, int], transfers: list[dict[str, object]], orders: dict[str, dict[str, object]]):
        self.accounts, self.transfers, self.orders = accounts, transfers, orders

    def account_balance(self, account: str) -> int:
        """Returns the balance of an account in euros.

        Args:
            account: name of the account.
        """
        known(account, self.accounts, "account")
        return self.accounts[account]

    def transfer_money(self, source: str, target: str, amount: int) -> str:
        """Moves money between two accounts of the customer.

        Args:
            source: account that the money is taken from.
            target: account that receives it.
            amount: whole euros, above 0.
        """
        known(source, self.accounts, "account")
        known(target, self.accounts, "account")
        self._take(source, amount)
        self.accounts[target] += amount
        self.transfers.append({"from": source, "to": target, "amount": amount})
        return f"moved {amount} euros"

    def pay_bill(self, account: str, payee: str, amount: int) -> str:
        """Pays a bill from an account.

        Args:
            account: account that the money is taken from.
            payee: name of the receiver.
            amount: whole euros, above 0.
        """
        known(account, self.accounts, "account")
        self._take(account, amount)
        self.transfers.append({"from": account, "to": payee, "amount": amount})
        return f"paid {amount} euros to {payee}"

    def set_standing_order(self, account: str, payee: str, amount: int, day: int) -> str:
        """Pays an amount to a payee every month. An order for the same payee is replaced.

        Args:
            account: account that the money is taken from.
            payee: name of the receiver.
            amount: whole euros, above 0.
            day: day of the month, 1 to 28.
        """
        known(account, self.accounts, "account")
        if amount <= 0 or not 1 <= day <= 28:
            raise ValueError("the amount must be above 0, and the day from 1 to 28")
        self.orders[payee] = {"account": account, "amount": amount, "day": day}
        return "set"

    def _take(self, account: str, amount: int) -> None:
        if amount <= 0:
            raise ValueError("the amount must be above 0")
        if self.accounts[account] < amount:
            raise ValueError(f"the account {account} has only {self.accounts[account]} euros")
        self.accounts[account] -= amount


def state(rng: random.Random) -> dict[str, object]:
    """Returns a random initial state."""
    return {"accounts": {name: rng.randint(300, 9_000) for name in rng.sample(ACCOUNTS, 3)}, "transfers": [], "orders": {}}


def request(rng: random.Random, bank: Bank) -> Request:
    """Returns a request that the bank can do now."""
    source, target = rng.sample(sorted(bank.accounts), 2)
    amount, payee, day = rng.randint(5, max(5, min(250, bank.accounts[source]))), rng.choice(PAYEES), rng.randint(1, 28)
    if bank.accounts[source] < amount:
        return Request(
            f"Tell me how much is in my {source} account.",
            [call("account_balance", account=source)],
            [str(bank.accounts[source])],
        )
    half = bank.accounts[source] // 2
    return rng.choice(
        [
            Request(
                f"Tell me how much is in my {source} account.",
                [call("account_balance", account=source)],
                [str(bank.accounts[source])],
                "Tell me how much is in my account.",
                f"The {source} account.",
            ),
            Request(
                f"Move {amount} euros from {source} to {target}.",
                [call("transfer_money", source=source, target=target, amount=amount)],
                vague=f"Move some money from {source} to {target}.",
                detail=f"Make it {amount} euros.",
            ),
            Request(
                f"Pay the bill of {amount} euros from {payee} out of my {source} account.",
                [call("pay_bill", account=source, payee=payee, amount=amount)],
                vague=f"Pay the bill of {amount} euros from {payee}.",
                detail=f"Take it from my {source} account.",
            ),
            Request(
                f"Have {amount} euros go from {source} to {payee} every month, on day {day}.",
                [call("set_standing_order", account=source, payee=payee, amount=amount, day=day)],
                vague=f"Have {amount} euros go from {source} to {payee} every month.",
                detail=f"On day {day}, please.",
            ),
            Request(
                f"Look up the balance of {source}, and move half of it to {target}, rounded down to whole euros.",
                [call("account_balance", account=source), call("transfer_money", source=source, target=target, amount=half)],
            ),
        ]
    )
