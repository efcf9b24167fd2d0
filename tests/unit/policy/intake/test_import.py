"""Policy that others wrote: what is read, what is named as left out, and where."""

import io
import json
import sys
from pathlib import Path

import pytest

from meshwarden.cli import run

ISTIO = """apiVersion: apps/v1
kind: Deployment
metadata: {name: ledger, namespace: core}
spec:
  template:
    metadata: {labels: {tier: books}}
    spec: {serviceAccountName: ledger-sa, containers: []}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ledger, namespace: core}
spec:
  selector: {matchLabels: {tier: books}}
  rules:
    - from: [{source: {principals: [cluster.local/ns/core/sa/payments]}}]
      to: [{operation: {methods: [GET], paths: [/v1/accounts/*, /healthz]}}]
    - from: [{source: {principals: ["cluster.local/ns/*"]}}]
    - from: [{source: {namespaces: [edge]}}]
    - to: [{operation: {paths: [/open]}}]
    - from: [{source: {serviceAccounts: [edge/gateway]}}]
      to: [{operation: {methods: [GET], notPaths: [/secret]}}]
    - from: [{source: {principals: [cluster.local/ns/edge/sa/gateway]}}]
      to:
        - operation: {methods: [GET], paths: ["/a*", "*/b", "/c/{*}/d/{**}"], ports: ["8080"]}
        - operation: {ports: ["5432", "x"]}
      when:
        - {key: source.ip, values: [10.0.0.1]}
    - from: [{source: {principals: [cluster.local/ns/edge/sa/gateway]}}]
      to: [{operation: {paths: ["/a*", "*/b", "/c/{*}/d/{**}"]}}, {operation: {ports: ["5432", "x"]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-deletes, namespace: core}
spec:
  action: DENY
  rules: [{to: [{operation: {methods: [DELETE]}}]}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: core}
spec: {mtls: {mode: PERMISSIVE}}
"""

READ = """# Read from istio: 3 objects.
# Review it: what could not be represented was listed when it was read.
apiVersion: meshwarden.dev/v1
trust_domain: cluster.local
services:
  gateway:
    identity: spiffe://cluster.local/ns/edge/sa/gateway
  ledger:
    identity: spiffe://cluster.local/ns/core/sa/ledger-sa
    accepts:
      - from: [payments]
        methods: [GET]
        paths: [/v1/accounts/, "/v1/accounts/**", /healthz]
      - from: [gateway]
        paths: ["/c/{x1}/d/", "/c/{x1}/d/**"]
      - {from: [gateway], tcp: 5432}
  payments:
    identity: spiffe://cluster.local/ns/core/sa/payments
"""


def test_istio_is_read_and_what_is_left_out_has_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "istio.yaml"
    file.write_text(ISTIO)
    assert run(["policy", "import", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["policy"] == READ
    noted = sorted(
        (int(one["where"].rpartition(":")[2]), one["wider"]) for one in found["left_out"]
    )
    assert noted == [
        (17, False), (18, False), (19, False), (21, False), (26, False), (29, False), (29, False),
        (29, False), (34, True), (41, False),
    ]  # fmt: skip
    assert run(["policy", "import", str(file), "--strict"]) == 1


LINKERD = """apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: http, namespace: core}
spec: {podSelector: {matchLabels: {app: ledger}}, port: 8080, proxyProtocol: HTTP/1, accessPolicy: audit}
---
apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: {name: special, namespace: core}
spec:
  parentRefs: [{kind: Server, name: http}]
  rules:
    - matches: [{path: {type: Exact, value: /v1/me}, method: GET}]
    - matches: [{path: {type: RegularExpression, value: "/v[0-9]"}}, {headers: [{name: x, value: y}]}]
---
apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: {name: general, namespace: core}
spec:
  parentRefs: [{kind: Server, name: http}]
  rules: [{matches: [{path: {type: PathPrefix, value: /v1}}]}]
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: special, namespace: core}
spec:
  targetRef: {kind: HTTPRoute, name: special}
  requiredAuthenticationRefs: [{kind: ServiceAccount, name: payments}]
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: general, namespace: core}
spec:
  targetRef: {kind: HTTPRoute, name: general}
  requiredAuthenticationRefs: [{kind: MeshTLSAuthentication, name: some}]
---
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: {name: some, namespace: core}
spec:
  identities: ["gateway.edge.serviceaccount.identity.linkerd.cluster.local", "*.edge.serviceaccount.identity.linkerd.cluster.local"]
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: nets, namespace: core}
spec:
  targetRef: {kind: Server, name: http}
  requiredAuthenticationRefs: [{kind: NetworkAuthentication, name: all}]
"""


def test_linkerd_is_read_and_the_union_that_it_does_not_take_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "linkerd.yaml"
    file.write_text(LINKERD)
    assert run(["policy", "import", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "from: [payments]\n        methods: [GET]\n        paths: [/v1/me]" in found["policy"]
    assert 'paths: [/v1, /v1/, "/v1/**"]' in found["policy"]
    said = [(one["what"], one["wider"]) for one in found["left_out"]]
    assert sum(wider for _, wider in said) == 1
    for text in (
        "accessPolicy audit",
        "regular expression",
        "headers",
        "'*.edge",
        "proves no identity",
    ):
        assert any(text in what for what, _ in said), text


def test_a_whole_list_as_kubectl_prints_it_is_read_from_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    items = ISTIO.split("---\n")
    listed = "apiVersion: v1\nkind: List\nitems:\n" + "".join(
        "- " + item.replace("\n", "\n  ").rstrip() + "\n" for item in items
    )
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed.encode())))
    assert run(["policy", "import", "-", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["policy"] == READ


def test_two_layers_are_not_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(ISTIO + "---\n" + LINKERD)
    assert run(["policy", "import", str(file)]) == 2
    assert "istio, linkerd" in capsys.readouterr().err
    assert run(["policy", "import", str(file), "--layer", "linkerd"]) == 0
    (tmp_path / "none.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")
    assert run(["policy", "import", str(tmp_path / "none.yaml")]) == 2


def test_rules_that_multiply_over_a_namespace_are_bounded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshwarden.policy.intake.draft.MAX_RULES", 50)
    deployments = "".join(
        f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d{n}, namespace: b}}\n"
        f"spec: {{template: {{spec: {{serviceAccountName: s{n}, containers: []}}}}}}\n---\n"
        for n in range(10)
    )
    rules = ", ".join(f"{{{CALLER}, to: [{{operation: {{paths: [/p{n}]}}}}]}}" for n in range(10))
    (tmp_path / "many.yaml").write_text(f"{deployments}{HEAD}spec: {{rules: [{rules}]}}\n")
    assert run(["policy", "import", str(tmp_path / "many.yaml")]) == 2
    assert "more than 50 rules" in capsys.readouterr().err


HEAD = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: b}\n"
CALLER = "from: [{source: {principals: [d/ns/b/sa/c]}}]"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(8)
)


@pytest.mark.parametrize(
    "spec",
    [
        "[]",
        "{rules: {}}",
        "{rules: [null, 7, [], {}]}",
        "{rules: [{from: x}]}",
        "{rules: [{from: [{source: [1]}]}]}",
        "{rules: [{from: [{source: {principals: x}}]}]}",
        "{selector: {matchLabels: {app: x}}, rules: [{CALLER, to: x}]}",
        "{selector: {matchLabels: {app: x}}, rules: [{CALLER, to: [{}]}]}",
        "{selector: {matchLabels: {app: x}}, rules: [{CALLER, to: [{operation: {}}]}]}",
        "{selector: {matchLabels: {app: x}}, rules: [{CALLER, when: {}}]}",
        "{selector: {matchLabels: {app: x}}, rules: [{CALLER, to: [{operation: {methods: GET}}]}]}",
        "{selector: {matchLabels: {app: x}}, rules: [{CALLER, to: [{operation: {paths: [1, null]}}]}]}",
        "{selector: {matchLabels: {app: x}}, rules: [{CALLER, to: [{operation: {paths: [/../x, y, '/{a}', '/{a}*', '/{a}/{*}']}}]}]}",
        "{selector: {matchLabels: {app: x}}, rules: [{CALLER, extra: 1}]}",
        "{selector: 7, action: [], rules: [{CALLER}]}",
    ],
)
def test_what_is_malformed_allows_nothing(
    spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text(f"{HEAD}spec: {spec.replace('CALLER', CALLER)}\n")
    code = run(["policy", "import", str(file), "--json"])
    out, error = capsys.readouterr()
    if code == 0:
        assert "accepts" not in json.loads(out)["policy"], error
    else:
        assert code == 2
        assert error


@pytest.mark.parametrize(
    "text", [BOMB, "a: [", "\x00", "a:\n\tb: c\n", HEAD + "spec: {a: 1, a: 2}\n"]
)
def test_what_cannot_be_read_is_never_passed_over(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "good.yaml").write_text(ISTIO)
    (tmp_path / "odd.yaml").write_text(text)
    assert run(["policy", "import", str(tmp_path)]) == 2
    assert f"{tmp_path}/odd.yaml:" in capsys.readouterr().err


def test_a_name_never_makes_a_line_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forged = ISTIO.replace("name: no-deletes", 'name: "x\\nforged\\x1b[2J"')
    (tmp_path / "istio.yaml").write_text(forged)
    run(["policy", "import", str(tmp_path / "istio.yaml")])
    said = capsys.readouterr().err
    assert "x\\nforged\\x1b[2J" in said
    assert not any(line.startswith("forged") for line in said.split("\n"))
