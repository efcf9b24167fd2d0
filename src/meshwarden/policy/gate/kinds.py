"""The kinds of Kubernetes' own API groups (1.34 and before), so that a slip is no foreign kind."""

from typing import Final

BUILT_IN: Final[dict[str, frozenset[str]]] = {
    group: frozenset(kinds.split())
    for group, kinds in {
        "": "Binding ComponentStatus ConfigMap Endpoints Event LimitRange List Namespace Node"
        " PersistentVolume PersistentVolumeClaim Pod PodTemplate ReplicationController"
        " ResourceQuota Secret Service ServiceAccount Status",
        "apps": "ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet",
        "batch": "CronJob Job",
        "autoscaling": "HorizontalPodAutoscaler Scale",
        "policy": "Eviction PodDisruptionBudget PodSecurityPolicy",
        "networking.k8s.io": "Ingress IngressClass IPAddress NetworkPolicy ServiceCIDR",
        "rbac.authorization.k8s.io": "ClusterRole ClusterRoleBinding Role RoleBinding",
        "storage.k8s.io": "CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment"
        " VolumeAttributesClass",
        "scheduling.k8s.io": "PriorityClass",
        "extensions": "DaemonSet Deployment Ingress NetworkPolicy ReplicaSet",
    }.items()
}

CLUSTER_TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "Pod": ("spec",),
    "PodTemplate": ("template", "spec"),
    "ReplicationController": ("spec", "template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
"""Where a kind keeps the specification of its pods, if not in `spec.template.spec`."""
