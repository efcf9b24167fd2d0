# The pods that an object brings: itself, its template, or a job's template.
package meshwarden.lib.pods

spec_path := ["spec"] if input.kind == "Pod"

spec_path := ["template", "spec"] if input.kind == "PodTemplate"

spec_path := ["spec", "jobTemplate", "spec", "template", "spec"] if input.kind == "CronJob"

spec_path := ["spec", "template", "spec"] if {
	not input.kind in {"Pod", "PodTemplate", "CronJob"}
	is_object(input.spec.template.spec)
}

spec := object.get(input, spec_path, {})

metadata_path := array.concat(array.slice(spec_path, 0, count(spec_path) - 1), ["metadata"])

metadata := object.get(input, metadata_path, {})

# Each container of any sort, with the path that leads to it.
containers contains {"path": array.concat(spec_path, [field, i]), "container": container} if {
	some field in ["containers", "initContainers", "ephemeralContainers"]
	some i, container in spec[field]
	is_object(container)
}

name(container) := object.get(container, "name", "?")

# Annotations and labels of the object and of its pods, with their paths.
notes contains {"path": ["metadata", field, key], "key": key, "value": value} if {
	some field in ["annotations", "labels"]
	some key, value in input.metadata[field]
}

notes contains {"path": array.concat(metadata_path, [field, key]), "key": key, "value": value} if {
	some field in ["annotations", "labels"]
	some key, value in metadata[field]
}
