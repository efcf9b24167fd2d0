"""Manifests for benchmarks: a mixture as in a real repository, each with its own small faults."""

from pathlib import Path

import yaml


def write_manifests(folder: Path, count: int) -> None:
    """Write `count` files of one object each, half of them Deployments and CronJobs."""
    folder.mkdir(parents=True)
    makers = [_deployment, _service, _deployment, _config, _deployment, _policy, _deployment,
              _service, _cron, _account]  # fmt: skip
    for number in range(count):
        document = makers[number % len(makers)](number)
        (folder / f"{number:05}.yaml").write_text(yaml.safe_dump(document, sort_keys=False))


def _head(api: str, kind: str, number: int) -> dict[str, object]:
    name, space = f"app-{number}", f"team-{number % 20}"
    metadata = {"name": name, "namespace": space, "labels": {"app": name}}
    return {"apiVersion": api, "kind": kind, "metadata": metadata}


def _pod(number: int) -> dict[str, object]:
    good = number % 3 == 0
    environment = [{"name": f"SETTING_{i}", "value": f"value {i}"} for i in range(6)]
    environment.append({"name": "LEDGER_URL", "value": "http://ledger.core.svc.cluster.local:80"})
    if number % 5 == 0:
        environment.append({"name": "RATES_URL", "value": "https://rates.vendor.example/v1"})
    security: dict[str, object] = {"allowPrivilegeEscalation": False} if good else {}
    if good:
        security |= {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    elif number % 7 == 0:
        security |= {"privileged": True}
    container = {
        "name": "app",
        "image": f"registry.bank.example/app:{number}" if good else "nginx",
        "ports": [{"containerPort": 8080, "name": "http"}],
        "env": environment,
        "securityContext": security,
        "resources": {"limits": {"cpu": "1", "memory": "256Mi"}} if good else {},
    }
    helper = {"name": "helper", "image": "busybox:1.36", "args": ["--port=8081", "--verbose"]}
    spec: dict[str, object] = {"containers": [container, helper]}
    if good:
        spec |= {"serviceAccountName": f"app-{number}", "securityContext": {"runAsNonRoot": True}}
    return spec


def _deployment(number: int) -> dict[str, object]:
    labels = {"app": f"app-{number}"}
    template = {"metadata": {"labels": labels}, "spec": _pod(number)}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    return {**_head("apps/v1", "Deployment", number), "spec": spec}


def _cron(number: int) -> dict[str, object]:
    job = {"spec": {"template": {"spec": {**_pod(number), "restartPolicy": "Never"}}}}
    return {
        **_head("batch/v1", "CronJob", number),
        "spec": {"schedule": "@daily", "jobTemplate": job},
    }


def _service(number: int) -> dict[str, object]:
    kind = "NodePort" if number % 9 == 0 else "ClusterIP"
    spec = {"type": kind, "selector": {"app": "x"}, "ports": [{"port": 80, "name": "http"}]}
    return {**_head("v1", "Service", number), "spec": spec}


def _config(number: int) -> dict[str, object]:
    lines = [f"setting.{i} = {i}" for i in range(30)]
    data = {"app.properties": "\n".join(lines) + "\n", "mode": "production"}
    return {**_head("v1", "ConfigMap", number), "data": data}


def _policy(number: int) -> dict[str, object]:
    source = {"source": {"principals": [f"cluster.local/ns/core/sa/app-{number}"]}}
    spec = {"selector": {"matchLabels": {"app": f"app-{number}"}}, "rules": [{"from": [source]}]}
    return {**_head("security.istio.io/v1", "AuthorizationPolicy", number), "spec": spec}


def _account(number: int) -> dict[str, object]:
    return {**_head("v1", "ServiceAccount", number), "automountServiceAccountToken": False}
