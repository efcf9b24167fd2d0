# METADATA
# title: Dangerous capability is added
# custom:
#   severity: high
#   kinds: [workload, compose]
#   needs: '\.capabilities\.add\.|\.cap_add\.'
#   fix: remove it from capabilities.add
#   controls:
#     - PCI DSS 4.0.1 2.2.6
#     - PCI DSS 4.0.1 7.2.5
#     - GDPR Art. 32(1)(b)
#     - CIS Kubernetes 2.0.1 5.2.8
#     - CIS Kubernetes 2.0.1 5.2.9
package meshwarden.workload.capabilities

import data.meshwarden.lib.pods
import data.meshwarden.lib.values

dangerous := {
	"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "SYS_BOOT", "SYS_TIME",
	"SYS_RESOURCE", "NET_ADMIN", "NET_RAW", "DAC_OVERRIDE", "DAC_READ_SEARCH", "BPF", "PERFMON",
	"MAC_ADMIN", "MAC_OVERRIDE", "SETPCAP", "SYSLOG", "MKNOD", "LINUX_IMMUTABLE",
	"CHECKPOINT_RESTORE", "AUDIT_CONTROL", "IPC_OWNER", "BLOCK_SUSPEND", "WAKE_ALARM",
}

# Containers that the mesh injects to set up redirection.
mesh_setup := {"istio-init", "linkerd-init", "istio-validation"}

bare_name(capability) := trim_prefix(upper(capability), "CAP_")

deny contains {
	"msg": concat("", ["container ", found.name, " adds capability ", values.text(bare_name(capability))]),
	"path": array.concat(found.path, ["securityContext", "capabilities", "add", i]),
} if {
	some found in pods.containers
	not found.name in mesh_setup
	some i, capability in found.container.securityContext.capabilities.add
	bare_name(capability) in dangerous
}

deny contains {
	"msg": concat("", ["service ", values.text(service), " adds capability ", values.text(bare_name(capability))]),
	"path": ["services", service, "cap_add", i],
} if {
	some service, definition in input.services
	some i, capability in definition.cap_add
	bare_name(capability) in dangerous
}
