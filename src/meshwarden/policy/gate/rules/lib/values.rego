# Small tests of values that come in several spellings.
package meshwarden.lib.values

truthy(value) if value == true

truthy(value) if lower(value) in {"true", "yes", "on", "1", "enabled"}

falsy(value) if value == false

falsy(value) if lower(value) in {"false", "no", "off", "0", "disabled"}

empty(value) if value in {"", null}

empty(value) if {
	is_array(value)
	count(value) == 0
}

empty(value) if {
	is_object(value)
	count(value) == 0
}

# What the rest of the same input says about this object; nothing under plain OPA or conftest.
context := input["meshwarden.dev/context"]

# Whether a host is on a list that may hold wildcards (*.example.com: one or more labels).
listed(host, list) if host in list

listed(host, list) if {
	some entry in list
	startswith(entry, "*.")
	endswith(host, substring(entry, 1, -1))
}

# Any value as text. Messages are joined by concat: the embedded engine's sprintf quotes some texts.
text(value) := value if is_string(value)

text(value) := sprintf("%v", [value]) if not is_string(value)
