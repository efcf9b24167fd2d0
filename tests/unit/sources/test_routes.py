"""Routes of real-world paths."""

import pytest

from meshwarden.behaviour.identifiers import without_identifiers
from meshwarden.behaviour.routes import RouteLearner, route_by_form

EXACT = [
    ("/v1/accounts/12345/entries?from=1", "/v1/accounts/{}/entries"),
    ("/users/0f2b7a52-5d1c-4a0e-9f0e-6a2b0a4f9c11", "/users/{}"),
    ("/accounts/acc-0f2b7a52-5d1c-4a0e-9f0e-6a2b0a4f9c11/balance", "/accounts/{}/balance"),
    ("/commits/5d1c4a0e9f0e6a2b0a4f9c11deadbeef00112233", "/commits/{}"),
    ("/c/5d1c4a0", "/c/{}"),
    ("/blobs/sha256/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "/blobs/sha256/{}"),
    ("/doc/507f1f77bcf86cd799439011", "/doc/{}"),
    ("/u/jane.doe@example.com/mail", "/u/{}/mail"),
    ("/u/jane.doe%40example.com", "/u/{}"),
    ("/reports/2026-11-23/daily", "/reports/{}/daily"),
    ("/reports/2026-11/daily", "/reports/{}/daily"),
    ("/t/2026-11-23T17:00:00Z", "/t/{}"),
    ("/orders/ord_2039187", "/orders/{}"),
    ("/orders/ORD-2026-00017", "/orders/{}"),
    ("/iban/DE89370400440532013000", "/iban/{}"),
    ("/s/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/s/{}"),
    ("/k/aWgEPTl1tmebfsQzFP4bxwgy80V", "/k/{}"),
    ("/jwt/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "/jwt/{}"),
    ("/odata/Orders(10248)/Items", "/odata/Orders({})/Items"),
    ("/static/main.5f2a9c1e.js", "/static/main.{}.js"),
    ("/img/8842.png", "/img/{}.png"),
    ("/geo/52.5200,13.4050", "/geo/{}"),
    ("/ip/10.0.0.1", "/ip/{}"),
    ("/shop;jsessionid=1A2B/cart", "/shop/cart"),
    ("/search/red%20shoes", "/search/{}"),
    ("http://ledger:8080/v1/accounts/7?x", "/v1/accounts/{}"),
    ("/", "/"), ("", "/"), ("*", "/*"), ("/a//b/", "/a//b/"),
    ("/" + "/".join("abcdefghijklmnop"), "/a/b/c/d/e/f/g/h/i/j/k/l/**"),
]  # fmt: skip
WORDS = [
    "v1", "v2beta1", "api", "oauth2", "s3", "index.html", "wp-login.php", "me", "ec2", "healthz", "well-known",
    ".well-known", "openid-configuration", "TransferService", "bank.Ledger", "k8s", "x509", "utf8", "base64",
    "getAccountById", "create_payment_intent", "h2c", "sha256", "win32", "face", "decade", "feedface", "added",
    "2fa", "3ds2", "i18n", "iso20022", "mt940", "pacs008", "favicon.ico", "app.min.js", "robots.txt", "covid19",
]  # fmt: skip


@pytest.mark.parametrize(("path", "route"), EXACT)
def test_identifiers_by_form(path: str, route: str) -> None:
    assert RouteLearner().route("ledger", path) == route
    assert route_by_form(path) == route


@pytest.mark.parametrize("word", WORDS)
def test_words_stay(word: str) -> None:
    assert without_identifiers(word) == word


def test_names_of_customers_become_a_hole_and_words_beside_them_stay() -> None:
    learner = RouteLearner()
    names = [
        f"{a}{b}" for a in "abcdefghijklmnopqrst" for b in ("anna", "bert", "cleo", "dora", "emil")
    ]
    for turn, name in enumerate(names * 2):
        learner.observe("shop", f"/users/{name}/orders")
        if turn % 4 == 0:
            learner.observe("shop", "/users/search")
    assert learner.name("shop", "/users/somebody/orders") == "/users/{}/orders"
    assert learner.name("shop", "/users/search") == "/users/search"


def test_a_large_vocabulary_that_recurs_is_no_identifier() -> None:
    learner = RouteLearner()
    resources = [
        f"{a}{b}"
        for a in ("pay", "led", "acc", "lim", "ris", "rep")
        for b in ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
    ]
    learner.routes([("api", f"/v1/{name}") for name in resources * 5])
    assert {learner.name("api", f"/v1/{name}") for name in resources} == {
        f"/v1/{n}" for n in resources
    }


def test_a_new_word_that_keeps_coming_becomes_a_word() -> None:
    learner = RouteLearner()
    learner.routes(
        [
            (
                "shop",
                f"/users/{'abcdefghij'[n % 10]}{'klmnopqrst'[n // 10 % 10]}{'uvwxyz'[n // 100]}",
            )
            for n in range(500)
        ]
    )
    assert learner.name("shop", "/users/export") == "/users/{}"
    learner.routes([("shop", "/users/export")] * 200)
    assert learner.name("shop", "/users/export") == "/users/export"


def test_a_scan_of_made_up_paths_does_not_swallow_the_real_ones() -> None:
    learner = RouteLearner()
    real = ["/login", "/transfers", "/accounts", "/healthz"]
    learner.routes([("web", path) for path in real * 200])
    scan = [("web", f"/{a}{b}{c}") for a in "qwrtz" for b in "psdfg" for c in "yxcvbnmlkjh"]
    learner.routes(scan)
    assert [learner.name("web", path) for path in real] == real
    assert learner.name("web", "/admin") == "/{}"


def test_services_do_not_mix() -> None:
    learner = RouteLearner()
    learner.routes([("one", f"/x/a{n}b") for n in range(1000)])
    assert learner.name("one", "/x/anew") == "/x/{}"
    assert learner.name("two", "/x/anew") == "/x/anew"
