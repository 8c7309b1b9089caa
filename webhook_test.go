package mezu_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

func TestWebhook_Validate(t *testing.T) {
	hmac := func(h mezu.WebhookHMAC) mezu.Webhook {
		return mezu.Webhook{Name: "in", Provider: mezu.WebhookHMACed, HMAC: &h}
	}
	template := func(text string) mezu.Webhook { return hmac(mezu.WebhookHMAC{Header: "X-Sig", Template: text}) }
	for _, w := range []mezu.Webhook{
		{Name: "pay", Provider: mezu.WebhookStripe},
		{Name: "pay", Provider: mezu.WebhookSlack, Tolerance: mezu.MaxWebhookTolerance},
		hmac(mezu.WebhookHMAC{Header: "X-Sig"}),
		hmac(mezu.WebhookHMAC{Header: "X-Sig", Prefix: "sha512=", Encoding: mezu.WebhookBase64, Algorithm: mezu.WebhookSHA512}),
		template("{method}{path}{query}{header:X-A}.{timestamp:X-At}.{id:X-Id}.{body}"),
		template(strings.Repeat("a", mezu.MaxWebhookTemplate-len("{body}")) + "{body}"),
		template(strings.Repeat("{header:A}", mezu.MaxWebhookHeaders) + "{body}"),
	} {
		if err := w.Validate(); err != nil {
			t.Errorf("%+v: %v", w, err)
		}
	}
	for _, c := range []struct {
		field string
		w     mezu.Webhook
	}{
		{"name", mezu.Webhook{Provider: mezu.WebhookStripe}},
		{"provider", mezu.Webhook{Name: "pay"}},
		{"provider", mezu.Webhook{Name: "pay", Provider: "Stripe"}},
		{"tolerance", mezu.Webhook{Name: "pay", Provider: mezu.WebhookStripe, Tolerance: mezu.MaxWebhookTolerance + 1}},
		{"tolerance", mezu.Webhook{Name: "pay", Provider: mezu.WebhookStripe, Tolerance: mezu.Duration(time.Millisecond)}},
		{"hmac.header", mezu.Webhook{Name: "pay", Provider: mezu.WebhookHMACed}},
		{"hmac", mezu.Webhook{Name: "pay", Provider: mezu.WebhookStripe, HMAC: &mezu.WebhookHMAC{Header: "X-Sig"}}},
		{"hmac.header", hmac(mezu.WebhookHMAC{})},
		{"hmac.header", hmac(mezu.WebhookHMAC{Header: "X Sig"})},
		{"hmac.header", hmac(mezu.WebhookHMAC{Header: "X-Forwarded-For"})},
		{"hmac.header", hmac(mezu.WebhookHMAC{Header: "X_Forwarded_For"})},
		{"hmac.header", hmac(mezu.WebhookHMAC{Header: "Host"})},
		{"hmac.header", hmac(mezu.WebhookHMAC{Header: strings.Repeat("a", mezu.MaxWebhookTemplate+1)})},
		{"hmac.template", template("{header:host}{body}")},
		{"hmac.template", template("{timestamp:Content-Length}{body}")},
		{"hmac.prefix", hmac(mezu.WebhookHMAC{Header: "X-Sig", Prefix: "a\r\nb"})},
		{"hmac.prefix", hmac(mezu.WebhookHMAC{Header: "X-Sig", Prefix: strings.Repeat("a", mezu.MaxWebhookTemplate+1)})},
		{"hmac.encoding", hmac(mezu.WebhookHMAC{Header: "X-Sig", Encoding: "base32"})},
		{"hmac.algorithm", hmac(mezu.WebhookHMAC{Header: "X-Sig", Algorithm: "md5"})},
		{"hmac.template", template("{header:X-A}")},
		{"hmac.template", template("{body}{body}")},
		{"hmac.template", template("{body")},
		{"hmac.template", template("body}{body}")},
		{"hmac.template", template("{body:X}")},
		{"hmac.template", template("{Body}{body}")},
		{"hmac.template", template("{header:}{body}")},
		{"hmac.template", template("{header:X-Sig}{body}")},
		{"hmac.template", template("{header:X-Mezu-User-Id}{body}")},
		{"hmac.template", template("{timestamp:A}{timestamp:B}{body}")},
		{"hmac.template", template("{id:A}{id:B}{body}")},
		{"hmac.template", template(strings.Repeat("a", mezu.MaxWebhookTemplate) + "{body}")},
		{"hmac.template", template(strings.Repeat("{header:A}", mezu.MaxWebhookHeaders+1) + "{body}")},
	} {
		refused(t, c.field, c.w.Validate(), c.field)
	}
	if w := (mezu.Webhook{}); w.TimeTolerance() != time.Duration(mezu.DefaultWebhookTolerance) {
		t.Error(w.TimeTolerance())
	}
}
