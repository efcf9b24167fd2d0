"""The Rego module: how a question is held against the data of a policy.

Rules are found by callee, caller and kind, so that a question is compared with the rules of one
pair alone. A pattern's segment is a text or null (any segment, not empty).
"""

from typing import Final

from meshwarden.policy.path import CLEAN_PATH

MODULE: Final = f"""# Made by meshwarden. The rules are in data.meshwarden.policy.
package meshwarden.access

default allow := false

allow if rule != null

default rule := null

# The first rule, in the order of the policy, that allows what is asked.
rule := rules[min(orders)].name if count(orders) > 0

rules := object.get(data.meshwarden.policy, [input.destination, input.source], [])

orders contains i if {{
	object.get(input, "port", null) == null
	not contains(input.path, "#")
	path := split(input.path, "?")[0]
	regex.match(clean, path)
	segments := array.slice(split(path, "/"), 1, count(split(path, "/")))
	some i, found in rules
	found.tcp == null
	has_method(found)
	some pattern in found.paths
	matches(pattern, segments)
	has_token(found)
}}

orders contains i if {{
	not is_null(object.get(input, "port", null))
	not "method" in object.keys(input)
	not "path" in object.keys(input)
	some i, found in rules
	found.tcp == input.port
}}

clean := `^(?:{CLEAN_PATH})$`

has_method(found) if found.methods == null

has_method(found) if input.method in found.methods

matches(pattern, segments) if {{
	not pattern.rest
	count(segments) == count(pattern.segments)
	every i, wanted in pattern.segments {{ fits(wanted, segments[i]) }}
}}

matches(pattern, segments) if {{
	pattern.rest
	count(segments) > count(pattern.segments)
	segments[count(pattern.segments)] != ""
	every i, wanted in pattern.segments {{ fits(wanted, segments[i]) }}
}}

fits(wanted, segment) if wanted == segment

fits(wanted, segment) if {{
	wanted == null
	segment != ""
}}

has_token(found) if found.token == null

has_token(found) if {{
	is_object(input.claims)
	not found.token.once
	every scope in found.token.scopes {{ scope in scopes }}
	has_acr(found.token)
	is_bound(found.token)
}}

# One text, parted by spaces, or a list of texts.
scopes := split(input.claims.scope, " ") if is_string(input.claims.scope)

scopes := [scope | some scope in input.claims.scope; is_string(scope)] if {{
	is_array(input.claims.scope)
}}

scopes := [] if {{
	not is_string(object.get(input.claims, "scope", null))
	not is_array(object.get(input.claims, "scope", null))
}}

has_acr(token) if token.acr == null

has_acr(token) if token.acr == input.claims.acr

is_bound(token) if not token.bound

is_bound(token) if input.claims.req_wl == input.source
"""
