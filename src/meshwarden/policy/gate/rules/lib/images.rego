# Names of container images: [registry[:port]/]path[:tag][@digest].
package meshwarden.lib.images

import data.meshwarden.lib.pods
import data.meshwarden.lib.values

used contains {
	"image": found.container.image,
	"path": array.concat(found.path, ["image"]),
	"what": concat("", ["container ", found.name]),
} if {
	some found in pods.containers
	is_string(found.container.image)
}

# A service that is built here has a name for the result, not a source.
used contains {
	"image": definition.image,
	"path": ["services", service, "image"],
	"what": concat("", ["service ", values.text(service)]),
} if {
	some service, definition in input.services
	is_string(definition.image)
	not definition.build
	not startswith(definition.image, "$")
}

last_part(image) := parts[count(parts) - 1] if parts := split(split(image, "@")[0], "/")

tag(image) := split(last_part(image), ":")[1] if contains(last_part(image), ":")

tag(image) := "" if not contains(last_part(image), ":")

# The first part is a registry where it looks like a host; else Docker Hub is meant.
registry(image) := lower(first) if {
	parts := split(image, "/")
	count(parts) > 1
	first := parts[0]
	is_host(first)
}

registry(image) := "docker.io" if not is_host(split(image, "/")[0])

registry(image) := "docker.io" if count(split(image, "/")) == 1

is_host(part) if contains(part, ".")

is_host(part) if contains(part, ":")

is_host(part) if part == "localhost"

full_name(image) := lower(image) if registry(image) == lower(split(image, "/")[0])

full_name(image) := lower(concat("/", ["docker.io", image])) if not registry(image) == lower(split(image, "/")[0])
