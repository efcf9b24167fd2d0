# METADATA
# title: Pod shares a namespace of its node
# custom:
#   severity: high
#   kinds: [workload, compose]
#   needs: 'host(Network|PID|IPC)=True|=host$'
#   fix: remove hostPID, hostIPC, hostNetwork; a Service gives a stable address
#   controls:
#     - PCI DSS 4.0.1 2.2.6
#     - GDPR Art. 32(1)(b)
#     - CIS Kubernetes 2.0.1 5.2.3
#     - CIS Kubernetes 2.0.1 5.2.4
#     - CIS Kubernetes 2.0.1 5.2.5
package meshwarden.workload.host_namespaces

import data.meshwarden.lib.pods
import data.meshwarden.lib.values

deny contains {
	"msg": concat("", ["the pod shares the node's namespace: ", values.text(field)]),
	"path": array.concat(pods.spec_path, [field]),
} if {
	some field in ["hostNetwork", "hostPID", "hostIPC"]
	pods.spec[field] == true
}

deny contains {
	"msg": concat("", ["service ", values.text(service), " shares the host's namespace: ", values.text(field)]),
	"path": ["services", service, field],
} if {
	some service, definition in input.services
	some field in ["network_mode", "pid", "ipc", "userns_mode", "uts", "cgroup"]
	definition[field] == "host"
}
