// Package webhook verifies deliveries of webhooks at the edge: who has signed the body of a
// request, when, and whether the same was delivered before.
//
// What lives here: how each provider signs, and the memory of deliveries. What may not: which
// route asks for it (package filter), reading bodies (package web) and how secrets come to
// the edge (package edgepart).
package webhook

import (
	"cmp"
	"crypto"
	"crypto/hmac"
	_ "crypto/sha1" // which Twilio signs by
	"crypto/sha256"
	_ "crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// maxSignatures bounds the signatures of one request. A provider sends one for each of its
// secrets, of which it has two while they are replaced.
const maxSignatures = 16

// Request is what is verified: the request in its canonical form, and its body as it came.
type Request struct {
	*relay.Request
	Body []byte
	// Now is the edge's time.
	Now time.Time
}

// Delivery is what a verified request says of itself.
type Delivery struct {
	// Timed says that the provider signs when it sent the request. Only such deliveries can be
	// told from repeats of themselves.
	Timed bool
	// At is when it was sent.
	At time.Time
	// Key is the same for each request that delivers the same: by the id that the provider
	// signs, otherwise by everything that it signs.
	Key [16]byte
}

// Verifier verifies the deliveries of one webhook. It is immutable.
type Verifier struct {
	name      string
	tolerance time.Duration
	keys      []key
	read      func(*Verifier, *Request) (claim, error)
	hash      crypto.Hash
	// hmac and parts are those of a provider whose signature is an HMAC over a template.
	hmac  mezu.WebhookHMAC
	parts []mezu.WebhookPart
}

// key is a secret as the provider uses it.
type key struct {
	bytes []byte
	// plain: the provider sends the secret, and signs nothing.
	plain bool
}

// claim is what a request says of its signature.
type claim struct {
	signatures [][]byte
	// signed are the texts of which one is signed, each in pieces. Twilio alone has several.
	signed [][][]byte
	hash   crypto.Hash // of these signatures, if not that of the webhook
	timed  bool
	at     time.Time
	id     []byte
	plain  []byte // what was sent as the secret, in place of signatures
}

// known are the providers that sign by an HMAC over a template.
var known = map[mezu.WebhookProvider]mezu.WebhookHMAC{
	// docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
	mezu.WebhookGitHub: {Header: "X-Hub-Signature-256", Prefix: "sha256="},
	// shopify.dev/docs/apps/build/webhooks/verify-deliveries
	mezu.WebhookShopify: {Header: "X-Shopify-Hmac-SHA256", Encoding: mezu.WebhookBase64},
	// docs.slack.dev/authentication/verifying-requests-from-slack
	mezu.WebhookSlack: {Header: "X-Slack-Signature", Prefix: "v0=", Template: "v0:{timestamp:X-Slack-Request-Timestamp}:{body}"},
}

// NewVerifier makes the verifier of a webhook with its secrets, the one in use first. Without any
// secret it is an error: nothing could be verified.
func NewVerifier(w *mezu.Webhook, secrets []string) (*Verifier, error) {
	v := &Verifier{name: w.Name, tolerance: w.TimeTolerance(), hash: crypto.SHA256}
	if len(secrets) == 0 || len(secrets) > mezu.MaxWebhookSecrets {
		return nil, fmt.Errorf("webhook %s has %d secrets", w.Name, len(secrets))
	}
	for _, secret := range secrets {
		bytes, plain, err := w.Provider.WebhookKey(secret)
		if err != nil {
			return nil, fmt.Errorf("webhook %s: %w", w.Name, err)
		}
		v.keys = append(v.keys, key{bytes, plain})
	}
	switch w.Provider {
	case mezu.WebhookStripe:
		v.read = (*Verifier).stripe
	case mezu.WebhookTwilio:
		v.read, v.hash = (*Verifier).twilio, crypto.SHA1
	case mezu.WebhookStandard:
		v.read = (*Verifier).standard
	case mezu.WebhookGitLab:
		v.read = (*Verifier).gitlab
	default:
		v.read, v.hmac = (*Verifier).template, known[w.Provider]
		if w.HMAC != nil {
			v.hmac = *w.HMAC
		}
		var err error
		if v.parts, err = v.hmac.Parts(); err != nil || v.hmac.Header == "" {
			return nil, fmt.Errorf("webhook %s: provider %q: %w", w.Name, w.Provider, err)
		}
		switch v.hmac.Algorithm {
		case mezu.WebhookSHA512:
			v.hash = crypto.SHA512
		case mezu.WebhookSHA1:
			v.hash = crypto.SHA1
		}
	}
	return v, nil
}

// Verify returns what was delivered if one of the secrets has signed it, at about this time. Its
// error is a *mezu.Error for the client.
func (v *Verifier) Verify(r *Request) (Delivery, error) {
	c, err := v.read(v, r)
	if err != nil {
		return Delivery{}, err
	}
	if c.timed {
		if off := r.Now.Sub(c.at).Abs(); off > v.tolerance {
			return Delivery{}, refuse("the delivery was signed more than %s away from the edge's time", v.tolerance)
		}
	}
	signed := v.signed(&c)
	if signed < 0 {
		return Delivery{}, refuse("the signature does not match")
	}
	d := Delivery{Timed: c.timed, At: c.at}
	if c.timed {
		d.Key = v.keyOf(&c, c.signed[signed])
	}
	return d, nil
}

// signed is the index of the text that a secret has signed, negative if none has. Every secret is
// tried with every signature, whichever of them matches.
func (v *Verifier) signed(c *claim) int {
	found := -1
	for _, k := range v.keys {
		if k.plain {
			// By their hashes, so that the time tells nothing of the length either.
			want, got := sha256.Sum256(k.bytes), sha256.Sum256(c.plain)
			if c.plain != nil && subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
				found = 0
			}
			continue
		}
		if len(c.signatures) == 0 {
			continue
		}
		mac := hmac.New(cmp.Or(c.hash, v.hash).New, k.bytes)
		for i, text := range c.signed {
			mac.Reset()
			for _, piece := range text {
				mac.Write(piece)
			}
			want := mac.Sum(nil)
			for _, got := range c.signatures {
				if hmac.Equal(want, got) {
					found = i
				}
			}
		}
	}
	return found
}

// keyOf tells a delivery from others of the same webhook.
func (v *Verifier) keyOf(c *claim, text [][]byte) [16]byte {
	h := sha256.New()
	h.Write([]byte(v.name))
	if c.id != nil {
		h.Write([]byte("\x00id\x00"))
		h.Write(c.id)
	} else {
		h.Write([]byte("\x00signed\x00"))
		for _, piece := range text {
			h.Write(piece)
		}
	}
	return [16]byte(h.Sum(nil))
}

// template reads a request of a provider whose signature is an HMAC over a template.
func (v *Verifier) template(r *Request) (c claim, err error) {
	value, err := r.field(v.hmac.Header)
	if err != nil {
		return c, err
	}
	text, ok := strings.CutPrefix(string(value), v.hmac.Prefix)
	if !ok {
		return c, refuse("%s does not begin with %q", v.hmac.Header, v.hmac.Prefix)
	}
	signature, err := decode(text, v.hmac.Encoding)
	if err != nil {
		return c, refuse("%s has no signature", v.hmac.Header)
	}
	c.signatures = [][]byte{signature}
	pieces := make([][]byte, 0, len(v.parts))
	for _, p := range v.parts {
		var piece []byte
		switch p.Kind {
		case mezu.WebhookText:
			piece = []byte(p.Text)
		case mezu.WebhookBody:
			piece = r.Body
		case mezu.WebhookMethod:
			piece = []byte(r.Method)
		case mezu.WebhookPath:
			piece = []byte(r.Path.Path)
		case mezu.WebhookQuery:
			piece = []byte(r.Query)
		default:
			if piece, err = r.field(p.Text); err != nil {
				return c, err
			}
		}
		switch p.Kind {
		case mezu.WebhookTimestamp:
			if err := c.time(p.Text, piece); err != nil {
				return c, err
			}
		case mezu.WebhookID:
			c.id = piece
		}
		pieces = append(pieces, piece)
	}
	c.signed = [][][]byte{pieces}
	return c, nil
}

// stripe reads Stripe-Signature: t=…,v1=…,v1=…. See docs.stripe.com/webhooks/signature.
func (v *Verifier) stripe(r *Request) (c claim, err error) {
	const header = "Stripe-Signature"
	value, err := r.field(header)
	if err != nil {
		return c, err
	}
	for pair := range strings.SplitSeq(string(value), ",") {
		name, text, _ := strings.Cut(pair, "=")
		switch name {
		case "t":
			if c.timed {
				return c, refuse("%s has two times", header)
			}
			if err := c.time(header, []byte(text)); err != nil {
				return c, err
			}
			c.signed = [][][]byte{{[]byte(text), []byte("."), r.Body}}
		case "v1":
			if err := c.add(header, text, mezu.WebhookHex); err != nil {
				return c, err
			}
		}
	}
	if !c.timed {
		return c, refuse("%s has no time", header)
	}
	return c, nil
}

// standard reads the three fields of Standard Webhooks 1.0, which some services send under the
// names that they had before.
func (v *Verifier) standard(r *Request) (claim, error) {
	family := "webhook-"
	if !r.has(family+"signature") && r.has("svix-signature") {
		family = "svix-"
	}
	return v.family(r, family)
}

func (v *Verifier) family(r *Request, family string) (c claim, err error) {
	value, err := r.field(family + "signature")
	if err != nil {
		return c, err
	}
	at, err := r.field(family + "timestamp")
	if err != nil {
		return c, err
	}
	if err := c.time(family+"timestamp", at); err != nil {
		return c, err
	}
	if c.id, err = r.field(family + "id"); err != nil {
		return c, err
	}
	for one := range strings.FieldsSeq(string(value)) {
		if text, ok := strings.CutPrefix(one, "v1,"); ok {
			if err := c.add(family+"signature", text, mezu.WebhookBase64); err != nil {
				return c, err
			}
		}
	}
	c.signed = [][][]byte{{c.id, []byte("."), at, []byte("."), r.Body}}
	return c, nil
}

// gitlab reads a request of GitLab. Whether it must be signed depends on the secrets: the plain way
// is open only while a plain token is one of them.
func (v *Verifier) gitlab(r *Request) (c claim, err error) {
	plain, signs := false, false
	for _, k := range v.keys {
		plain, signs = plain || k.plain, signs || !k.plain
	}
	if signs && (!plain || r.has("webhook-signature")) {
		return v.family(r, "webhook-")
	}
	c.plain, err = r.field("X-Gitlab-Token")
	c.signed = [][][]byte{nil}
	return c, err
}

// field is the value of a field that must be there once.
func (r *Request) field(name string) ([]byte, error) {
	switch value, n := r.fields(name); {
	case n == 0:
		return nil, refuse("the request has no %s", name)
	case n > 1:
		return nil, refuse("the request has more than one %s", name)
	case len(value) == 0:
		return nil, refuse("%s is empty", name)
	default:
		return value, nil
	}
}

// fields counts the fields of a name, and gives the last one's value.
func (r *Request) fields(name string) (value []byte, n int) {
	name = strings.ToLower(name)
	for i := range r.Fields {
		if r.Fields[i].Is(name) {
			value = r.Fields[i].Value
			n++
		}
	}
	return value, n
}

func (r *Request) has(name string) bool {
	_, n := r.fields(name)
	return n > 0
}

// time reads when a delivery was sent, in seconds since 1970.
func (c *claim) time(field string, text []byte) error {
	seconds, err := strconv.ParseUint(string(text), 10, 40) // to the year 36812
	if err != nil {
		return refuse("%s has no time in seconds", field)
	}
	c.timed, c.at = true, time.Unix(int64(seconds), 0)
	return nil
}

// add notes one of several signatures. One that can't be read is passed over, as providers ask.
func (c *claim) add(field, text string, encoding mezu.WebhookEncoding) error {
	signature, err := decode(text, encoding)
	if err != nil {
		return nil
	}
	if len(c.signatures) == maxSignatures {
		return refuse("%s has more than %d signatures", field, maxSignatures)
	}
	c.signatures = append(c.signatures, signature)
	return nil
}

func decode(text string, encoding mezu.WebhookEncoding) ([]byte, error) {
	if encoding == mezu.WebhookBase64 {
		return base64.StdEncoding.Strict().DecodeString(text)
	}
	return hex.DecodeString(text)
}

// refuse is the answer to a request that is not verified.
func refuse(format string, args ...any) error {
	return &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: fmt.Sprintf(format, args...)}
}
