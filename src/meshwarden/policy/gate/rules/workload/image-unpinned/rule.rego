# METADATA
# title: Image is not pinned
# custom:
#   severity: high
#   kinds: [workload, compose]
#   fix: "name the image by its digest (name:tag@sha256:...)"
#   controls:
#     - PCI DSS 4.0.1 6.3.2
#     - PCI DSS 4.0.1 6.5.1
#     - GDPR Art. 32(1)(b)
#     - CIS Kubernetes 5.5.1
package meshwarden.workload.image_unpinned

import data.meshwarden.lib.images
import data.meshwarden.lib.values

deny contains {
	"msg": concat("", [values.text(found.what), ": image ", values.text(found.image), " ", values.text(problem)]),
	"path": found.path,
	"severity": severity,
} if {
	some found in images.used
	[problem, severity] := unpinned(found.image)
}

unpinned(image) := ["has no tag: it is whatever is newest", "high"] if {
	not contains(image, "@")
	images.tag(image) == ""
}

unpinned(image) := ["has a tag that moves", "high"] if {
	not contains(image, "@")
	lower(images.tag(image)) in {"latest", "main", "master", "edge", "nightly", "dev", "develop", "stable", "head"}
}

unpinned(image) := ["is not pinned by digest", "low"] if {
	not contains(image, "@")
	not lower(images.tag(image)) in {"", "latest", "main", "master", "edge", "nightly", "dev", "develop", "stable", "head"}
}
