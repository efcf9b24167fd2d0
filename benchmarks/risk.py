"""How well risk tells thieves from owners, on generated populations with labelled account takeover.

    python -m benchmarks.risk [--users 400] [--days 60] [--seeds 5]

Owners have a home network with an address that changes now and then, mostly a mobile network and an
office, one to three devices, habits of hour, amount and payee; they travel, use VPNs and buy new
devices now and then. Attackers are the classes of the literature (Freeman et al. 2016, section 2;
Wiefling et al. 2021): naive ones come from anywhere with any common device, VPN ones from the
victim's country, targeted ones from the victim's own network with the same family of device. Each
has the password and the session; they try to pay somebody new.

Reported is the share of owners' requests that would be asked to step up at the threshold that
catches 95 % of attacks, for each class and all together, beside two rules that banks use: the
address was never seen, the device was never seen. Scores are taken before a request is learned; the
first `WARM_UP` days only teach. Every figure is the median over the seeds with least and greatest.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from meshwarden.tokens.risk import (
    History,
    Namer,
    Observation,
    Population,
    RiskSettings,
    assess,
    learn,
    values_of,
)

WARM_UP: Final = 20
DAY_S: Final = 86400
DETECTION: Final = 0.95
COUNTRIES: Final = (
    "DE",
    "FR",
    "NL",
    "PL",
    "ES",
    "IT",
    "AT",
    "GB",
    "US",
    "NG",
    "RU",
    "CN",
    "BR",
    "VN",
)
AGENTS: Final = (
    "chrome/windows", "safari/ios", "chrome/android", "safari/mac", "firefox/windows",
    "edge/windows", "chrome/mac", "firefox/linux", "samsung/android",
)  # fmt: skip
SHARES: Final = np.array([0.28, 0.24, 0.2, 0.08, 0.06, 0.06, 0.04, 0.02, 0.02])
CLASSES: Final = ("naive", "vpn", "targeted")


@dataclass
class Customer:
    """One owner and its habits."""

    number: int
    country: str
    networks: list[str]
    devices: list[tuple[str, str]]
    hour: float
    amount: float
    payees: list[str]
    addresses: dict[str, str] = field(default_factory=dict)
    known_addresses: set[str] = field(default_factory=set)
    known_devices: set[str] = field(default_factory=set)
    history: History = field(default_factory=History)


class Bank:
    """A population, day by day."""

    def __init__(self, users: int, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.namer = Namer(b"benchmark")
        self.population = Population()
        self.customers = [self._customer(number) for number in range(users)]

    def _customer(self, number: int) -> Customer:
        country = self._one(COUNTRIES[:8], [0.6, 0.1, 0.08, 0.06, 0.05, 0.04, 0.04, 0.03])
        networks = [f"{country}-isp{self.random.integers(6)}"]
        networks += [f"{country}-mobile{self.random.integers(3)}"] * (self.random.random() < 0.8)
        networks += [f"{country}-office{self.random.integers(60)}"] * (self.random.random() < 0.4)
        return Customer(
            number=number,
            country=country,
            networks=networks,
            devices=[self.device() for _ in range(1 + self.random.integers(3))],
            hour=float(self.random.normal(14, 4)),
            amount=float(self.random.normal(8.5, 1.0)),
            payees=[
                f"payee-{self.random.integers(5000)}" for _ in range(3 + self.random.integers(10))
            ],
        )

    def device(self, agent: str | None = None) -> tuple[str, str]:
        """Return an agent family and a fingerprint of one of its few dozen builds."""
        agent = agent or self._one(AGENTS, (SHARES / SHARES.sum()).tolist())
        return agent, f"{agent}|ja4-{int(self.random.zipf(1.6)) % 40}"

    def owner(self, one: Customer, day: int) -> Observation:
        """Return one request of its owner."""
        chance = self.random.random()
        network, country = self._one(one.networks), one.country
        if chance < 0.01:
            network = f"{country}-vpn{self.random.integers(20)}"
        elif chance < 0.02:
            country = self._one(COUNTRIES)
            network = f"{country}-isp{self.random.integers(6)}"
        if self.random.random() < 0.004:
            one.devices.append(self.device())
        last = len(one.devices) - 1
        agent, device = one.devices[
            last if self.random.random() < 0.5 else self.random.integers(last + 1)
        ]
        new = self.random.random() < 0.1
        if new:
            one.payees.append(f"payee-{self.random.integers(5000)}")
        payee = one.payees[-1] if new else self._one(one.payees)
        return Observation(
            time=self._time(day, self.random.normal(one.hour, 3)),
            address=self._address(one, network), network=network, country=country,
            agent=agent, device=device, session=f"{one.number}-{day}-{self._token()}",
            session_age_s=int(self.random.exponential(1200)),
            amount=self._amount(one.amount, 0.8) if self.random.random() < 0.4 else None,
            payee=payee,
        )  # fmt: skip

    def attack(self, one: Customer, kind: str, day: int) -> Observation:
        """Return one request of somebody who has the owner's password and session."""
        country = self._one(COUNTRIES) if kind == "naive" else one.country
        network = {
            "naive": f"{country}-isp{self.random.integers(6)}",
            "vpn": f"{country}-vpn{self.random.integers(20)}",
            "targeted": one.networks[0],
        }[kind]
        victim = one.devices[self.random.integers(len(one.devices))][0]
        agent, device = self.device(victim if kind == "targeted" else None)
        return Observation(
            time=self._time(day, self.random.uniform(0, 24)),
            address=f"{network}.{self.random.integers(65536)}", network=network, country=country,
            agent=agent, device=device, session=f"{one.number}-thief-{self._token()}",
            session_age_s=int(self.random.exponential(20000)),
            amount=self._amount(one.amount + 1.0, 1.0),
            payee=f"mule-{self.random.integers(10**6)}",
        )  # fmt: skip

    def score(self, one: Customer, seen: Observation) -> float:
        """Return the risk of a request."""
        names = values_of(seen, self.namer)
        payee = self.namer.name("payee", seen.payee or "")
        return assess(seen, names, one.history, self.population, RiskSettings(), payee=payee).score

    def learn(self, one: Customer, seen: Observation) -> None:
        """Take an owner's request in."""
        names = values_of(seen, self.namer)
        key = self.namer.name("seen", f"{seen.session}|{seen.device}")
        payee = None if seen.amount is None else self.namer.name("payee", seen.payee or "")
        if learn(one.history, seen, names, payee, key):
            self.population.observe(names)
        one.known_addresses.add(seen.address or "")
        one.known_devices.add(seen.device or "")

    def _address(self, one: Customer, network: str) -> str:
        changes = 0.9 if "mobile" in network else 0.08 if "isp" in network else 0.0
        if network not in one.addresses or self.random.random() < changes:
            one.addresses[network] = f"{network}.{self.random.integers(4096)}"
        return one.addresses[network]

    def _token(self) -> int:
        return int(self.random.integers(1 << 30))

    def _amount(self, mean: float, spread: float) -> float:
        return float(np.exp(self.random.normal(mean, spread)))

    def _time(self, day: int, hour: float) -> int:
        return int(1_700_000_000 + day * DAY_S + (hour % 24) * 3600)

    def _one(self, values: Any, shares: Any = None) -> str:  # noqa: ANN401
        return str(self.random.choice(np.array(values), p=shares))


def run(users: int, days: int, seed: int) -> dict[str, dict[str, float]]:
    """Return the figures of one population."""
    bank = Bank(users, seed)
    owners: list[tuple[float, bool, bool]] = []
    attacks: dict[str, list[tuple[float, bool, bool]]] = {kind: [] for kind in CLASSES}
    for day in range(days):
        for one in bank.customers:
            for _ in range(bank.random.poisson(1.2)):
                seen = bank.owner(one, day)
                if day >= WARM_UP:
                    owners.append(_judged(bank, one, seen))
                bank.learn(one, seen)
            if day >= WARM_UP and bank.random.random() < 0.05:
                for kind in CLASSES:
                    thief = bank.attack(one, kind, day)
                    thief = (
                        thief
                        if thief.time > one.history.updated
                        else replace(thief, time=one.history.updated + 60)
                    )
                    attacks[kind].append(_judged(bank, one, thief))
    attacks["all classes"] = [judged for kind in CLASSES for judged in attacks[kind]]
    return {kind: _figures(owners, found) for kind, found in attacks.items()}


def _judged(bank: Bank, one: Customer, seen: Observation) -> tuple[float, bool, bool]:
    new_address = (seen.address or "") not in one.known_addresses
    return bank.score(one, seen), new_address, (seen.device or "") not in one.known_devices


def _figures(
    owners: list[tuple[float, bool, bool]], attacks: list[tuple[float, bool, bool]]
) -> dict[str, float]:
    scores = np.array([one[0] for one in owners])
    thieves = np.array([one[0] for one in attacks])
    threshold = float(np.quantile(thieves, 1 - DETECTION))

    def share(
        found: list[tuple[float, bool, bool]], flag: Callable[[tuple[float, bool, bool]], bool]
    ) -> float:
        return sum(map(flag, found)) / len(found)

    usual = RiskSettings().step_up
    return {
        "threshold at 95 % detection": threshold,
        "false step-up rate at 95 % detection": float((scores >= threshold).mean()),
        "false step-up rate at the device rule's detection": float(
            (scores >= np.quantile(thieves, 1 - share(attacks, lambda one: one[2]))).mean()
        ),
        "detection at the default threshold": float((thieves >= usual).mean()),
        "false step-up rate at the default threshold": float((scores >= usual).mean()),
        "address rule: detection": share(attacks, lambda one: one[1]),
        "address rule: false step-up rate": share(owners, lambda one: one[1]),
        "device rule: detection": share(attacks, lambda one: one[2]),
        "device rule: false step-up rate": share(owners, lambda one: one[2]),
    }  # fmt: skip


def main() -> int:
    """Run the benchmark and print its report as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=400)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    found = [run(options.users, options.days, seed) for seed in range(options.seeds)]
    report = {
        kind: {
            name: {
                "median": round(statistics.median(one[kind][name] for one in found), 4),
                "least": round(min(one[kind][name] for one in found), 4),
                "greatest": round(max(one[kind][name] for one in found), 4),
            }
            for name in found[0][kind]
        }
        for kind in found[0]
    }
    print(
        json.dumps(
            {
                "users": options.users,
                "days": options.days,
                "seeds": options.seeds,
                "report": report,
            },
            indent=1,
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
