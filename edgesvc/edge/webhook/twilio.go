package webhook

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"mime"
	"net/url"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
)

// maxTwilioParameters bounds the form fields of a request of Twilio's, which have to be sorted.
// Its own have less than 100.
const maxTwilioParameters = 1000

// twilio reads X-Twilio-Signature: base64 of an HMAC-SHA1 over the URL, followed by the fields of
// the form by their names, each with its values; a body of another type is signed by its
// SHA-256 in the query. Twilio signs a URL with the port or without it, whatever it was given.
// See www.twilio.com/docs/usage/security.
func (v *Verifier) twilio(r *Request) (c claim, err error) {
	const header = "X-Twilio-Signature"
	value, err := r.field(header)
	if err != nil {
		return c, err
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(string(value))
	if err != nil {
		return c, refuse("%s has no signature", header)
	}
	c.signatures = [][]byte{signature}
	if len(signature) == sha256.Size { // as a rule of the account may say
		c.hash = crypto.SHA256
	}
	parameters, err := r.parameters()
	if err != nil {
		return c, err
	}
	hosts := []string{r.Authority}
	if r.Authority == r.Host {
		hosts = append(hosts, r.Host+":443")
	} else {
		hosts = append(hosts, r.Host)
	}
	for _, host := range hosts {
		c.signed = append(c.signed, [][]byte{[]byte("https://" + host + r.Path.Path + r.Query), parameters})
	}
	return c, nil
}

// parameters is what stands behind the URL in what Twilio signs.
func (r *Request) parameters() ([]byte, error) {
	query, err := url.ParseQuery(strings.TrimPrefix(r.Query, "?"))
	if err != nil {
		return nil, refuse("the query can't be read")
	}
	if sums, ok := query["bodySHA256"]; ok {
		want := sha256.Sum256(r.Body)
		if got, err := hex.DecodeString(sums[0]); len(sums) != 1 || err != nil || !bytes.Equal(got, want[:]) {
			return nil, refuse("bodySHA256 in the query is not that of the body")
		}
		return nil, nil
	}
	if len(r.Body) == 0 {
		return nil, nil
	}
	if kind, _, err := mime.ParseMediaType(string(r.contentType())); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, refuse("the body is no form, and the query has no bodySHA256: nothing signs it")
	}
	if bytes.Count(r.Body, []byte("&")) >= maxTwilioParameters {
		return nil, &mezu.Error{Code: mezu.CodeBodyTooLarge, Detail: "the form has too many fields"}
	}
	form, err := url.ParseQuery(string(r.Body))
	if err != nil {
		return nil, refuse("the form can't be read")
	}
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	var out []byte
	for _, name := range names {
		values := form[name]
		slices.Sort(values)
		for _, value := range slices.Compact(values) {
			out = append(append(out, name...), value...)
		}
	}
	return out, nil
}

// contentType is the type of the body, empty if that is not said once.
func (r *Request) contentType() []byte {
	value, err := r.field("Content-Type")
	if err != nil {
		return nil
	}
	return value
}
