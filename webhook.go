package mezu

import (
	"encoding/base64"
	"strings"
	"time"
	"unicode/utf8"
)

// Webhook is how deliveries of one provider are verified on the routes of an environment that
// name it (auth_methods webhook:NAME). Its secrets are no field of it: they are set by a call
// of their own and never served.
type Webhook struct {
	Meta
	// Name is unique in the environment: lower-case letters, digits and hyphens. It is fixed at
	// creation.
	Name string `json:"name"`
	// Provider says who signs, and with that how.
	Provider WebhookProvider `json:"provider"`
	// Tolerance is how far the time of a delivery may be from the edge's, in both directions, 1s
	// to MaxWebhookTolerance; if zero, DefaultWebhookTolerance.
	Tolerance Duration `json:"tolerance,omitempty"`
	// HMAC says how a provider signs that is none of the known ones. It is for the provider hmac
	// alone.
	HMAC *WebhookHMAC `json:"hmac,omitempty"`
	// Secrets is how many secrets are set, at most MaxWebhookSecrets. Without any, routes answer
	// 503.
	Secrets int `json:"secrets,omitempty"`
}

// WebhookProvider is who signs deliveries.
type WebhookProvider string

// Providers of webhooks.
const (
	WebhookGitHub   WebhookProvider = "github"
	WebhookGitLab   WebhookProvider = "gitlab" // by a signing token (whsec_…), or by a plain token
	WebhookStripe   WebhookProvider = "stripe"
	WebhookSlack    WebhookProvider = "slack"
	WebhookShopify  WebhookProvider = "shopify"
	WebhookTwilio   WebhookProvider = "twilio"
	WebhookStandard WebhookProvider = "standard" // Standard Webhooks 1.0
	WebhookHMACed   WebhookProvider = "hmac"     // any other, as WebhookHMAC says
)

// WebhookProviders are all providers.
func WebhookProviders() []WebhookProvider {
	return []WebhookProvider{WebhookGitHub, WebhookGitLab, WebhookStripe, WebhookSlack, WebhookShopify, WebhookTwilio, WebhookStandard, WebhookHMACed}
}

// WebhookHMAC says how a provider signs with an HMAC (RFC 2104).
type WebhookHMAC struct {
	// Header is the field that has the signature.
	Header string `json:"header"`
	// Prefix is what stands before the signature in it, such as sha256=.
	Prefix string `json:"prefix,omitempty"`
	// Encoding is how the signature is written: hex or base64. If empty, hex.
	Encoding WebhookEncoding `json:"encoding,omitempty"`
	// Algorithm is the hash: sha256, sha512 or sha1. If empty, sha256.
	Algorithm WebhookAlgorithm `json:"algorithm,omitempty"`
	// Template is what is signed, at most MaxWebhookTemplate. It has {body} once, and may have
	// {method}, {path}, {query}, {header:NAME}, one {timestamp:NAME}, whose field has the seconds
	// since 1970, and one {id:NAME}, whose field is another for each delivery. If empty, {body}.
	Template string `json:"template,omitempty"`
}

// WebhookEncoding is how a signature is written.
type WebhookEncoding string

// Encodings of signatures. If empty, WebhookHex.
const (
	WebhookHex    WebhookEncoding = "hex"
	WebhookBase64 WebhookEncoding = "base64"
)

// WebhookAlgorithm is the hash of an HMAC.
type WebhookAlgorithm string

// Hashes. If empty, WebhookSHA256.
const (
	WebhookSHA256 WebhookAlgorithm = "sha256"
	WebhookSHA512 WebhookAlgorithm = "sha512"
	WebhookSHA1   WebhookAlgorithm = "sha1" // as an HMAC it is not broken
)

// Limits and defaults of webhooks.
const (
	// DefaultWebhookTolerance is what Stripe, Slack and Standard Webhooks recommend.
	DefaultWebhookTolerance = Duration(5 * time.Minute)
	// MaxWebhooks bounds the webhooks of an environment: with their secrets they are one record.
	MaxWebhooks = 50
	// MaxWebhookTolerance is an hour: for so long, and as long again, a delivery must be
	// remembered.
	MaxWebhookTolerance = Duration(time.Hour)
	// DefaultWebhookBody bounds the body of a delivery where the route sets no limit: the edge keeps
	// all of it until it is verified.
	DefaultWebhookBody = 1 << 20
	// MaxWebhookBody bounds it whatever the route says. GitHub's are the largest, and have as much.
	MaxWebhookBody = 25 << 20
	// MaxWebhookSecrets are the one in use and the one before.
	MaxWebhookSecrets = 2
	// MaxWebhookSecret bounds a secret. Those of the known providers have less than 100 bytes.
	MaxWebhookSecret = 512
	// MaxWebhookTemplate bounds the template of an HMAC, its header and its prefix: all webhooks of
	// an environment are one record.
	MaxWebhookTemplate = 256
	// MaxWebhookHeaders bounds the fields that a template names.
	MaxWebhookHeaders = 8
)

// Validate checks what a client may set.
func (w *Webhook) Validate() error {
	if err := ValidateName("name", w.Name); err != nil {
		return err
	}
	known := false
	for _, p := range WebhookProviders() {
		known = known || p == w.Provider
	}
	switch {
	case !known:
		return Invalid("provider", "is one of github, gitlab, stripe, slack, shopify, twilio, standard, hmac, not %q", w.Provider)
	case w.Tolerance != 0 && (w.Tolerance < Duration(time.Second) || w.Tolerance > MaxWebhookTolerance):
		return Invalid("tolerance", "is 1s to %s", MaxWebhookTolerance)
	case w.HMAC == nil && w.Provider == WebhookHMACed:
		return Invalid("hmac.header", "is needed with the provider hmac: the header that has the signature")
	case w.HMAC != nil && w.Provider != WebhookHMACed:
		return Invalid("hmac", "goes with the provider hmac alone, not with %s; leave it out", w.Provider)
	case w.HMAC != nil:
		return w.HMAC.validate("hmac")
	}
	return nil
}

// TimeTolerance is how far the time of a delivery may be from the edge's.
func (w *Webhook) TimeTolerance() time.Duration {
	if w.Tolerance == 0 {
		return time.Duration(DefaultWebhookTolerance)
	}
	return time.Duration(w.Tolerance)
}

func (h *WebhookHMAC) validate(field string) error {
	if len(h.Header) > MaxWebhookTemplate {
		return Invalid(field+".header", "has at most %d bytes", MaxWebhookTemplate)
	}
	if !signable(h.Header) {
		return Invalid(field+".header", "%q is no header that a client may send and edges verify", h.Header)
	}
	if len(h.Prefix) > MaxWebhookTemplate || !ValidHeaderValue(h.Prefix) {
		return Invalid(field+".prefix", "is a part of a header of at most %d bytes", MaxWebhookTemplate)
	}
	switch h.Encoding {
	case "", WebhookHex, WebhookBase64:
	default:
		return Invalid(field+".encoding", "is hex or base64, not %q", h.Encoding)
	}
	switch h.Algorithm {
	case "", WebhookSHA256, WebhookSHA512, WebhookSHA1:
	default:
		return Invalid(field+".algorithm", "is sha256, sha512 or sha1, not %q", h.Algorithm)
	}
	_, err := h.parse(field + ".template")
	return err
}

// signable reports whether a header can be part of what is verified. Those of the connection and of
// framing are not of the message (RFC 9110, 7.6.1): they may be others at the edge, or not be there.
func signable(name string) bool {
	return ValidHeaderName(name) && !ReservedHeader(name) && !LookalikeHeader(name) && !isOneOf(strings.ToLower(name), hopFields)
}

// WebhookPart is a piece of what is signed: a literal text, or what stands for a part of the
// request.
type WebhookPart struct {
	Kind WebhookPartKind
	// Text is the literal, or the name of the field.
	Text string
}

// WebhookPartKind is what a piece of a template stands for.
type WebhookPartKind string

// Kinds of parts.
const (
	WebhookText      WebhookPartKind = ""
	WebhookBody      WebhookPartKind = "body"
	WebhookMethod    WebhookPartKind = "method"
	WebhookPath      WebhookPartKind = "path"
	WebhookQuery     WebhookPartKind = "query"  // with its question mark, or nothing
	WebhookHeader    WebhookPartKind = "header" // the value of a field
	WebhookTimestamp WebhookPartKind = "timestamp"
	WebhookID        WebhookPartKind = "id"
)

// Parts are the pieces of the template, in order.
func (h *WebhookHMAC) Parts() ([]WebhookPart, error) { return h.parse("hmac.template") }

func (h *WebhookHMAC) parse(field string) ([]WebhookPart, error) {
	if h.Template == "" {
		return []WebhookPart{{Kind: WebhookBody}}, nil
	}
	if len(h.Template) > MaxWebhookTemplate {
		return nil, Invalid(field, "has at most %d bytes", MaxWebhookTemplate)
	}
	var parts []WebhookPart
	headers := 0
	once := map[WebhookPartKind]int{}
	for rest := h.Template; rest != ""; {
		text, after, open := strings.Cut(rest, "{")
		if strings.Contains(text, "}") {
			return nil, Invalid(field, "has a } without a {")
		}
		if text != "" {
			parts = append(parts, WebhookPart{Text: text})
		}
		if !open {
			break
		}
		inner, behind, closed := strings.Cut(after, "}")
		if !closed {
			return nil, Invalid(field, "has a { without a }")
		}
		kind, name, named := strings.Cut(inner, ":")
		part := WebhookPart{WebhookPartKind(kind), name}
		switch part.Kind {
		case WebhookBody, WebhookMethod, WebhookPath, WebhookQuery:
			if named {
				return nil, Invalid(field, "{%s} takes no name", kind)
			}
		case WebhookHeader, WebhookTimestamp, WebhookID:
			headers++
			if !signable(name) || strings.EqualFold(name, h.Header) {
				return nil, Invalid(field, "{%s:NAME} names another header that a client may send and edges verify, not %q", kind, name)
			}
		default:
			return nil, Invalid(field, "{%s} is none of {body}, {method}, {path}, {query}, {header:NAME}, {timestamp:NAME}, {id:NAME}", inner)
		}
		once[part.Kind]++
		parts, rest = append(parts, part), behind
	}
	switch {
	case once[WebhookBody] != 1:
		return nil, Invalid(field, "has {body} once: what isn't signed isn't verified")
	case once[WebhookTimestamp] > 1 || once[WebhookID] > 1:
		return nil, Invalid(field, "has {timestamp:NAME} and {id:NAME} once at most")
	case headers > MaxWebhookHeaders:
		return nil, Invalid(field, "names at most %d headers", MaxWebhookHeaders)
	}
	return parts, nil
}

// webhookKeyPrefix begins the secrets of Standard Webhooks, which are base64 behind it.
const webhookKeyPrefix = "whsec_"

// WebhookKey gives the bytes by which a provider signs with a secret. plain says that the
// provider signs nothing and sends the secret itself. An empty secret, by which anybody could
// sign, is refused.
func (p WebhookProvider) WebhookKey(secret string) (key []byte, plain bool, err error) {
	switch {
	case secret == "":
		return nil, false, Invalid("secret", "is empty")
	case len(secret) > MaxWebhookSecret:
		return nil, false, Invalid("secret", "has at most %d bytes", MaxWebhookSecret)
	case strings.TrimSpace(secret) != secret:
		return nil, false, Invalid("secret", "begins or ends with a space")
	case !utf8.ValidString(secret) || !ValidHeaderValue(secret):
		return nil, false, Invalid("secret", "has a control character, or is not UTF-8")
	}
	encoded, prefixed := strings.CutPrefix(secret, webhookKeyPrefix)
	switch p {
	case WebhookStandard:
	case WebhookGitLab:
		if !prefixed {
			return []byte(secret), true, nil
		}
	default:
		return []byte(secret), false, nil
	}
	key, err = base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(key) == 0 {
		return nil, false, Invalid("secret", "is "+webhookKeyPrefix+" and base64 of some bytes")
	}
	return key, false, nil
}

// WebhookSecrets is a webhook with its secrets, the one in use first, as edges get it and nobody
// is served it.
type WebhookSecrets struct {
	Webhook
	Secrets []string `json:"secrets"`
}
