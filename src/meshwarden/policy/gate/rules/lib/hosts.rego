# Which outside hosts a text names. A host is outside when its last label is a public top-level
# domain (or one reserved for examples), it is no in-cluster name, and in no internal domain.
package meshwarden.lib.hosts

import data.meshwarden.lib.settings
import data.meshwarden.lib.texts

# Generic top-level domains in common use, those reserved for examples, and all countries'. One text
# with spaces around each: the embedded engine builds a set anew for each object, which takes longer
# than all else.
top_level := `
 com org net edu gov mil int info biz name pro app dev cloud online site store shop tech xyz live 
 world bank finance financial money pay exchange capital services systems solutions network 
 digital software support email host website space top club page link click work zone run tools 
 agency media news global group company example test invalid ac ad ae af ag ai al am ao aq ar as 
 at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo bq br bs bt bw by bz ca cc cd cf cg ch ci ck 
 cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et eu fi fj fk fm fo fr ga gb 
 gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is 
 it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mg 
 mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe 
 pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sk sl sm sn so sr 
 ss st sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz va vc ve vg 
 vi vn vu wf ws ye yt za zm zw 
`

# Hosts that only name a schema or a licence; nobody connects to them.
names_only := `
 www.w3.org json-schema.org schemas.xmlsoap.org schemas.microsoft.com xmlns.jcp.org java.sun.com 
 xmlns.oracle.com www.springframework.org maven.apache.org xml.apache.org logging.apache.org 
 www.apache.org jakarta.ee www.hibernate.org purl.org xml.org 
`

internal_suffixes := [
	".svc", ".cluster.local", ".local", ".internal", ".localhost", ".localdomain", ".lan",
	".home", ".intranet", ".corp", ".consul", ".arpa",
]

is_word(word, words) if contains(words, concat("", [" ", word, " "]))

public_suffix(host) if {
	labels := split(host, ".")
	is_word(labels[count(labels) - 1], top_level)
}

in_domain(host) if host in settings.internal_domains

in_domain(host) if {
	some name in settings.internal_domains
	endswith(host, concat("", [".", name]))
}

external(host) if {
	contains(host, ".")
	public_suffix(host)
	not strings.any_suffix_match(host, internal_suffixes)
	not contains(host, ".svc.")
	not is_word(host, names_only)
	not in_domain(host)
}

# Public addresses: not private, loopback, link-local, multicast or unspecified.
external(host) if {
	regex.match(`^[0-9]{1,3}(\.[0-9]{1,3}){3}$`, host)
	not regex.match(`^(0|10|127|22[4-9]|23[0-9]|24[0-9]|25[0-5])\.`, host)
	not regex.match(`^(192\.168|169\.254|172\.(1[6-9]|2[0-9]|3[01])|100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])|192\.0\.2|198\.1[89]|255\.255)\.`, host)
}

# Authorities of URLs: user information, path and port are cut off.
from_url(url) := host if {
	rest := substring(url, indexof(url, "://") + 3, -1)
	parts := split(rest, "@")
	host := trim_suffix(split(parts[count(parts) - 1], ":")[0], ".")
}

uncommented(text) := text if not contains(text, "\n")

uncommented(text) := concat("\n", kept) if {
	contains(text, "\n")
	kept := [line |
		some line in split(text, "\n")
		not regex.match(`^\s*(#|//|;|<!--|\*|--)`, line)
	]
}

urls(text) := set() if not contains(text, "://")

urls(text) := found if {
	contains(text, "://")
	found := {url | some url in regex.find_n(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/"'<>?#,;)|\]}\\$]+`, uncommented(text), -1)}
}

# A name that says that its value is a host.
says_host(name) if regex.match(`(^|[_.-])(hosts?|hostname|url|uri|endpoints?|addr|address|server|servers|broker|brokers|bootstrap|dsn|domain|target|upstream|proxy|webhook)([_.-]|$)`, lower(name))

says_host(name) if regex.match(`(host|url|uri|endpoint|addr|server|brokers)s?$`, lower(name))

bare(name, value) := {host |
	says_host(name)
	not contains(value, "://")
	some part in split(lower(last_value(value)), ",")
	host := trim_suffix(split(trim_space(part), ":")[0], ".")
	regex.match(`^([a-z0-9_-]+\.)+[a-z0-9-]+$`, host)
}

# What stands behind the first `=` of --flag=value.
last_value(value) := concat("=", array.slice(parts, 1, count(parts))) if {
	startswith(value, "-")
	parts := split(value, "=")
	count(parts) > 1
}

last_value(value) := value if {
	startswith(value, "-")
	not contains(value, "=")
}

last_value(value) := value if not startswith(value, "-")

named(text) := {lower(from_url(url)) | some url in urls(text.value)} | bare(text.name, text.value)

# Outside hosts that programs are told to call, with where they are told so.
called contains {"host": host, "path": text.path, "what": text.what} if {
	some text in texts.all
	contains(text.value, ".")
	some host in named(text)
	external(host)
}

# Outside hosts that mesh and cluster objects open the way to.
called contains {"host": host, "path": ["spec", "hosts", i], "what": "ServiceEntry"} if {
	input.kind == "ServiceEntry"
	object.get(input.spec, "location", "MESH_EXTERNAL") != "MESH_INTERNAL"
	some i, name in input.spec.hosts
	host := lower(name)
	not startswith(host, "*")
	external(host)
}

called contains {"host": host, "path": ["spec", "externalName"], "what": "ExternalName service"} if {
	input.kind == "Service"
	input.spec.type == "ExternalName"
	host := trim_suffix(lower(input.spec.externalName), ".")
	external(host)
}

called contains {"host": host, "path": ["spec", "egress", i, "toFQDNs", j, field], "what": "egress rule"} if {
	input.kind in {"CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"}
	some i, rule in input.spec.egress
	some j, entry in rule.toFQDNs
	some field in ["matchName", "matchPattern"]
	host := trim_suffix(lower(entry[field]), ".")
	not host == "*"
	external(trim_left(host, "*."))
}

# Domains of payment providers.
known_gateways := `
 stripe.com paypal.com braintreegateway.com braintree-api.com adyen.com adyenpayments.com 
 worldpay.com checkout.com squareup.com authorize.net cybersource.com mollie.com klarna.com 
 razorpay.com 2checkout.com payu.com payu.in paytm.in paytm.com fiserv.com firstdata.com 
 globalpay.com globalpaymentsinc.com payeezy.com bluesnap.com sagepay.com opayo.co.uk paysafe.com 
 skrill.com neteller.com wise.com transferwise.com gocardless.com dlocal.com mercadopago.com 
 pagseguro.com ebanx.com paystack.co paystack.com flutterwave.com alipay.com wechatpay.com 
 unionpay.com visa.com mastercard.com americanexpress.com plaid.com dwolla.com marqeta.com 
 nuvei.com safecharge.com rapyd.net trustly.com ingenico.com ogone.com wirecard.com datatrans.com 
 datatrans.ch saferpay.com payplug.com lemonway.com mangopay.com affirm.com afterpay.com 
 clearpay.co.uk securepay.com.au eway.com.au payfast.co.za iyzipay.com payone.com heidelpay.com 
 unzer.com sumup.com spreedly.com chasepaymentech.com elavon.com convergepay.com moneris.com 
 bambora.com nets.eu dibspayment.com swish.nu 
`

# Providers' domains have two labels, or three (`opayo.co.uk`).
is_gateway(host) if {
	labels := split(host, ".")
	some length in [2, 3]
	count(labels) >= length
	is_word(concat(".", array.slice(labels, count(labels) - length, count(labels))), known_gateways)
}

# A label of the host says so: payments.acme.example, card-gateway.acme.example.
is_gateway(host) if regex.match(`(^|[.-])(payments?|paygate|psp|acquirer|acquiring|cardnetwork|payment-?gateway|card-?gateway)[.-]`, host)
