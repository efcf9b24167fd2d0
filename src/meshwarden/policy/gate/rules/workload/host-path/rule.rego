# METADATA
# title: Directory of the node is mounted
# custom:
#   severity: high
#   kinds: [workload, compose]
#   needs: 'hostPath|^services\.[^=]*\.volumes\.'
#   fix: use a PersistentVolumeClaim, emptyDir, ConfigMap or Secret
#   controls:
#     - PCI DSS 4.0.1 2.2.6
#     - PCI DSS 4.0.1 7.2.5
#     - GDPR Art. 32(1)(b)
#     - CIS Kubernetes 2.0.1 5.2.11
package meshwarden.workload.host_path

import data.meshwarden.lib.pods
import data.meshwarden.lib.values

runtime_sockets := {
	"/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock",
	"/var/run/containerd/containerd.sock", "/run/crio/crio.sock", "/var/run/crio/crio.sock",
	"/run/podman/podman.sock",
}

# What is the system's own; a directory of data (/srv, /opt, /home/me/project) is not.
system_path(path) if path == "/"

system_path(path) if {
	some top in ["/etc", "/var/run", "/run", "/proc", "/sys", "/dev", "/root", "/boot", "/usr", "/bin", "/sbin", "/lib", "/var/lib/docker", "/var/lib/kubelet", "/var/log"]
	startswith(concat("", [path, "/"]), concat("", [top, "/"]))
	not path in {"/etc/localtime", "/etc/timezone", "/dev/null"}
}

severity_of(path) := "critical" if path in runtime_sockets

severity_of(path) := "high" if not path in runtime_sockets

deny contains {
	"msg": concat("", ["volume ", values.text(object.get(volume, "name", "?")), " mounts ", values.text(path), " of the node"]),
	"path": array.concat(pods.spec_path, ["volumes", i, "hostPath"]),
	"severity": severity_of(path),
} if {
	some i, volume in pods.spec.volumes
	is_object(volume.hostPath)
	path := object.get(volume.hostPath, "path", "?")
}

deny contains {
	"msg": concat("", ["service ", values.text(service), " mounts ", values.text(source), " of the host"]),
	"path": ["services", service, "volumes", i],
	"severity": severity_of(source),
} if {
	some service, definition in input.services
	some i, volume in definition.volumes
	source := source_of(volume)
	system_path(source)
}

source_of(volume) := split(volume, ":")[0] if is_string(volume)

source_of(volume) := volume.source if volume.type == "bind"
