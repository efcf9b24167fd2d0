# Every text that configures a program: environment, arguments, ConfigMaps, Compose services.
# Each has a name (of the variable, the flag or the key), a value, a path, and what to call it.
package meshwarden.lib.texts

import data.meshwarden.lib.pods
import data.meshwarden.lib.values

all contains entry if some entry in environment

all contains entry if some entry in arguments

all contains entry if some entry in config_maps

environment contains {
	"name": variable.name,
	"value": variable.value,
	"path": array.concat(found.path, ["env", i, "value"]),
	"what": concat("", ["variable ", values.text(variable.name), " of container ", found.name]),
} if {
	some found in pods.containers
	some i, variable in found.container.env
	is_string(variable.name)
	is_string(variable.value)
}

# Compose: a mapping ...
environment contains {
	"name": name,
	"value": values.text(value),
	"path": ["services", service, "environment", name],
	"what": concat("", ["variable ", values.text(name), " of service ", values.text(service)]),
} if {
	some service, definition in input.services
	is_object(definition.environment)
	some name, value in definition.environment
	value != null
}

# ... or a list of NAME=value.
environment contains {
	"name": parts[0],
	"value": concat("=", array.slice(parts, 1, count(parts))),
	"path": ["services", service, "environment", i],
	"what": concat("", ["variable ", values.text(parts[0]), " of service ", values.text(service)]),
} if {
	some service, definition in input.services
	is_array(definition.environment)
	some i, line in definition.environment
	parts := split(line, "=")
	count(parts) > 1
}

arguments contains {
	"name": flag(found.container[field], i),
	"value": argument,
	"path": array.concat(found.path, [field, i]),
	"what": concat("", ["argument of container ", found.name]),
} if {
	some found in pods.containers
	some field in ["command", "args"]
	some i, argument in found.container[field]
	is_string(argument)
}

arguments contains {
	"name": flag(definition[field], i),
	"value": argument,
	"path": ["services", service, field, i],
	"what": concat("", ["argument of service ", values.text(service)]),
} if {
	some service, definition in input.services
	some field in ["command", "entrypoint"]
	is_array(definition[field])
	some i, argument in definition[field]
	is_string(argument)
}

arguments contains {
	"name": "",
	"value": definition[field],
	"path": ["services", service, field],
	"what": concat("", ["command of service ", values.text(service)]),
} if {
	some service, definition in input.services
	some field in ["command", "entrypoint"]
	is_string(definition[field])
}

config_maps contains {
	"name": key,
	"value": value,
	"path": ["data", key],
	"what": concat("", ["key ", values.text(key), " of the ConfigMap"]),
} if {
	input.kind == "ConfigMap"
	some key, value in input.data
	is_string(value)
}

# The flag that an argument is the value of: --name=value, or --name before it.
flag(list, i) := trim_left(split(list[i], "=")[0], "-") if contains(list[i], "=")

flag(list, i) := trim_left(list[i - 1], "-") if {
	not contains(list[i], "=")
	startswith(list[i - 1], "-")
}

flag(list, i) := "" if {
	not contains(list[i], "=")
	i == 0
}

flag(list, i) := "" if {
	not contains(list[i], "=")
	not startswith(list[i - 1], "-")
}
