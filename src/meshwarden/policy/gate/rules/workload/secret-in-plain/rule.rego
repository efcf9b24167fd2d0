# METADATA
# title: Secret stands in plain text
# custom:
#   severity: high
#   kinds: [workload, compose, ConfigMap]
#   needs: '(?i)(pass(word|wd|phrase)|pwd|secret|token|credential|key|redis_auth)|PRIVATE KEY|(AKIA|ASIA)[A-Z0-9]{16}|gh[posu]_|_live_|xox[abprs]-|glpat-|AIza|SG\.|eyJ|://[^/@\s]*:[^/@\s]*@'
#   fix: take it from a Secret (valueFrom.secretKeyRef), a file, or a vault; then rotate it
#   redact: true
#   controls:
#     - PCI DSS 4.0.1 8.6.2
#     - PCI DSS 4.0.1 8.3.2
#     - GDPR Art. 32(1)(a)
#     - CIS Kubernetes 2.0.1 5.4.1
#     - CIS Kubernetes 2.0.1 5.4.2
package meshwarden.workload.secret_in_plain

import data.meshwarden.lib.texts
import data.meshwarden.lib.values

# Names that say: this is a secret ...
secret_name(name) if regex.match(`(^|[_.-])(password|passwd|passphrase|pwd|secret|token|credentials?|apikey|api[_.-]key|private[_.-]key|access[_.-]key|secret[_.-]key|auth[_.-]key|encryption[_.-]key|signing[_.-]key|client[_.-]secret)([_.-]?[0-9]*)$`, lower(name))

secret_name(name) if regex.match(`(password|passwd|secret|apikey|secretkey|privatekey|accesstoken|authtoken)$`, lower(name))

secret_name(name) if regex.match(`^(pgpassword|mysql_pwd|aws_secret_access_key|aws_session_token|database_password|redis_auth)$`, lower(name))

# ... and values that are no secret whatever the name.
harmless(value) if value in {"", "null", "none"}

harmless(value) if regex.match(`^(true|false|yes|no|on|off|[0-9]{1,3}|required|optional|disabled|enabled)$`, lower(value))

harmless(value) if regex.match(`^\$[({][^)}]+[)}]$`, value)

harmless(value) if regex.match(`^\$[A-Za-z_][A-Za-z0-9_]*$`, value)

harmless(value) if regex.match(`^(/|\./|file:|vault:|ref\+|sm://|arn:aws:secretsmanager:|arn:aws:ssm:|secret://|projects/)`, value)

harmless(value) if startswith(value, "{{")

# Forms that are secrets whatever the name.
secret_form(value) if regex.match(`-----BEGIN ([A-Z]+ )?PRIVATE KEY-----`, value)

secret_form(value) if regex.match(`(^|[^A-Za-z0-9])(AKIA|ASIA)[A-Z0-9]{16}($|[^A-Za-z0-9])`, value)

secret_form(value) if regex.match(`(^|[^A-Za-z0-9_])(ghp|gho|ghs|ghu)_[A-Za-z0-9]{36}`, value)

secret_form(value) if regex.match(`(^|[^A-Za-z0-9_])(sk|rk)_live_[A-Za-z0-9]{16}`, value)

secret_form(value) if regex.match(`(^|[^A-Za-z0-9])xox[abprs]-[A-Za-z0-9-]{10}`, value)

secret_form(value) if regex.match(`(^|[^A-Za-z0-9])(glpat-[A-Za-z0-9_-]{20}|github_pat_[A-Za-z0-9_]{30}|AIza[A-Za-z0-9_-]{35}|SG\.[A-Za-z0-9_-]{16})`, value)

secret_form(value) if regex.match(`(^|[^A-Za-z0-9_])eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`, value)

# A password in a URL, not a reference to one.
secret_form(value) if regex.match(`[a-z][a-z0-9+.-]*://[^/@:\s]*:[^/@\s$<{*]+@`, value)

# A line `password: value` or `password=value` in a file that a ConfigMap holds.
secret_line(text) if {
	contains(text.value, "\n")
	some line in split(text.value, "\n")
	regex.match(`^\s*[A-Za-z0-9_.-]*(password|passwd|secret|api[_-]?key|token|private[_-]?key)["']?\s*[:=]\s*["']?[^\s"'$<{(/]{6,}`, lower(line))
	not regex.match(`[:=]\s*["']?(true|false|null|none|required|optional|enabled|disabled|changeit)["']?\s*$`, lower(line))
}

secret(text) if {
	secret_name(text.name)
	not contains(text.value, "\n")
	not harmless(last_value(text.value))
	not flag_alone(text.value)
}

secret(text) if secret_form(text.value)

secret(text) if secret_line(text)

# `--password` whose value is the next argument is no secret itself.
flag_alone(value) if {
	startswith(value, "-")
	not contains(value, "=")
}

last_value(value) := concat("=", array.slice(split(value, "="), 1, 99)) if {
	startswith(value, "-")
	contains(value, "=")
}

last_value(value) := value if not startswith(value, "-")

last_value(value) := value if not contains(value, "=")

deny contains {
	"msg": concat("", [values.text(text.what), " holds a secret in plain text"]),
	"path": text.path,
} if {
	some text in texts.all
	secret(text)
}
