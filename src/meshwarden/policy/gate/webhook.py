"""The ValidatingWebhookConfiguration that makes the API server ask us."""

import base64
from typing import Any

OPERATIONS = ["CREATE", "UPDATE"]


def webhook_configuration(name: str, ca_pem: str) -> dict[str, Any]:
    """Return the object for a service `<service>.<namespace>.svc` whose root is `ca_pem`.

    Fails closed, has no side effects, and leaves out the webhook's own namespace and Kubernetes'
    system namespace, so that an outage of the webhook locks nobody out.
    """
    service, namespace = name.split(".")[:2]
    own = {
        "key": "kubernetes.io/metadata.name",
        "operator": "NotIn",
        "values": [namespace, "kube-system"],
    }
    rule = {
        "apiGroups": ["*"],
        "apiVersions": ["*"],
        "operations": OPERATIONS,
        "resources": ["*", "pods/ephemeralcontainers"],
        "scope": "*",
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "meshwarden-gate"},
        "webhooks": [
            {
                "name": "gate.meshwarden.dev",
                "clientConfig": {
                    "service": {
                        "name": service, "namespace": namespace, "path": "/validate", "port": 443,
                    },
                    "caBundle": base64.b64encode(ca_pem.encode()).decode(),
                },
                "rules": [rule],
                "namespaceSelector": {"matchExpressions": [own]},
                "failurePolicy": "Fail",
                "matchPolicy": "Equivalent",
                "sideEffects": "None",
                "timeoutSeconds": 10,
                "admissionReviewVersions": ["v1"],
            }
        ],
    }  # fmt: skip
