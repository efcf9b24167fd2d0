# METADATA
# title: Token of the Kubernetes API is mounted for nothing
# custom:
#   severity: medium
#   kinds: [workload]
#   fix: set automountServiceAccountToken to false
#   controls:
#     - PCI DSS 4.0.1 7.2.5
#     - GDPR Art. 32(1)(b)
#     - CIS Kubernetes 2.0.1 5.1.6
package meshwarden.communication.token_mounted

import data.meshwarden.lib.pods
import data.meshwarden.lib.values

set_here if is_boolean(pods.spec.automountServiceAccountToken)

turned_off if pods.spec.automountServiceAccountToken == false

turned_off if {
	not set_here
	values.context.service_account_automount == false
}

used if values.context.service_account_bound == true

deny contains {
	"msg": "the pod gets a token of the Kubernetes API, and nothing in the input gives it a use",
	"path": array.concat(pods.spec_path, ["automountServiceAccountToken"]),
} if {
	pods.spec.containers
	not turned_off
	not used
}
