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
#     - CIS Kubernetes 2.0.1 5.5.1
package meshwarden.workload.image_unpinned

import data.meshwarden.lib.images

# Tags that are made to move.
moving := " latest main master edge nightly dev develop stable head "

deny contains {
	"msg": concat("", [found.what, ": image ", found.image, " ", verdict.problem]),
	"path": found.path,
	"severity": verdict.severity,
} if {
	some found in images.used
	not contains(found.image, "@")
	verdict := judged(images.tag(found.image))
}

judged(tag) := {"problem": "has no tag: it is whatever is newest", "severity": "high"} if tag == ""

judged(tag) := {"problem": "has a tag that moves", "severity": "high"} if {
	tag != ""
	contains(moving, concat("", [" ", lower(tag), " "]))
}

judged(tag) := {"problem": "is not pinned by digest", "severity": "low"} if {
	tag != ""
	not contains(moving, concat("", [" ", lower(tag), " "]))
}
