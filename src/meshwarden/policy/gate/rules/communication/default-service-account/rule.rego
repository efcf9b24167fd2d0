# METADATA
# title: Workload runs as the default service account
# custom:
#   severity: medium
#   kinds: [workload]
#   fix: give the workload a service account of its own
#   controls:
#     - PCI DSS 4.0.1 7.2.5
#     - GDPR Art. 32(1)(b)
#     - CIS Kubernetes 2.0.1 5.1.5
package meshwarden.communication.default_service_account

import data.meshwarden.lib.pods

# `serviceAccount` is the old name of the field, and still accepted.
named if {
	some field in ["serviceAccountName", "serviceAccount"]
	not pods.spec[field] in {"default", "", null}
	pods.spec[field]
}

deny contains {
	"msg": "the pod uses the default service account: it has no identity of its own",
	"path": array.concat(pods.spec_path, ["serviceAccountName"]),
} if {
	pods.spec.containers
	not named
}
