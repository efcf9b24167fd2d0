# The pods that an object brings: itself, its template, or a job's template.
package meshwarden.lib.pods

spec_path := ["spec"] if input.kind == "Pod"

spec_path := ["template", "spec"] if input.kind == "PodTemplate"

spec_path := ["spec", "jobTemplate", "spec", "template", "spec"] if input.kind == "CronJob"

spec_path := ["spec", "template", "spec"] if {
	not input.kind in {"Pod", "PodTemplate", "CronJob"}
	is_object(input.spec.template.spec)
}

# By reference: handing the input to a function makes the embedded engine copy all of it.
spec := input.spec if input.kind == "Pod"

spec := input.template.spec if input.kind == "PodTemplate"

spec := input.spec.jobTemplate.spec.template.spec if input.kind == "CronJob"

spec := input.spec.template.spec if {
	not input.kind in {"Pod", "PodTemplate", "CronJob"}
	is_object(input.spec.template.spec)
}

metadata_path := array.concat(array.slice(spec_path, 0, count(spec_path) - 1), ["metadata"])

metadata := input.metadata if input.kind == "Pod"

metadata := input.template.metadata if input.kind == "PodTemplate"

metadata := input.spec.jobTemplate.spec.template.metadata if input.kind == "CronJob"

metadata := input.spec.template.metadata if {
	not input.kind in {"Pod", "PodTemplate", "CronJob"}
	is_object(input.spec.template.spec)
}

windows if spec.os.name == "windows"

# Each container of any sort, with its name and the path that leads to it.
containers contains {
	"path": array.concat(spec_path, [field, i]),
	"container": container,
	"name": name(container),
} if {
	some field in ["containers", "initContainers", "ephemeralContainers"]
	some i, container in spec[field]
	is_object(container)
}

name(container) := container.name if is_string(container.name)

name(container) := "?" if not is_string(container.name)

# Annotations and labels of the object and of its pods, with their paths.
notes contains {"path": ["metadata", field, key], "key": key, "value": value} if {
	some field in ["annotations", "labels"]
	some key, value in input.metadata[field]
}

notes contains {"path": array.concat(metadata_path, [field, key]), "key": key, "value": value} if {
	some field in ["annotations", "labels"]
	some key, value in metadata[field]
}
