package filter

import (
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/webhook"
	"github.com/mezusphere/mezu/relay"
)

// Webhooks are those of package webhook.
type Webhooks = webhook.Webhooks

// signature lets a request of a webhook's route pass if its provider has signed it: its body as it
// came, and whole, so that nothing goes on before it is known to be genuine.
type signature struct {
	webhooks *Webhooks
	now      func() time.Time
}

var errUnsigned = &mezu.Error{Code: mezu.CodeBodyTooLarge, Detail: "the body is longer than that of a webhook may be"}

func (s signature) Request(x *Exchange) (*Answer, error) {
	if x.Route.SignedBy == "" {
		return nil, nil
	}
	v, err := s.webhooks.Find(x.Environment, x.Route.SignedBy)
	if err != nil {
		return nil, err
	}
	if x.BodyLimit == 0 {
		x.BodyLimit = mezu.DefaultWebhookBody
	}
	x.BodyLimit = min(x.BodyLimit, mezu.MaxWebhookBody)
	if x.Request.Framing == relay.Length && x.Request.Length > x.BodyLimit {
		return nil, relay.ErrOverrun
	}
	x.Request.Upgrade = "" // nothing signs what would come afterwards
	x.Keep, x.verifier = max(x.Keep, x.BodyLimit), v
	return nil, nil
}

func (s signature) Body(x *Exchange, body []byte, whole bool) (err error) {
	if x.verifier == nil {
		return nil
	}
	if !whole {
		return errUnsigned
	}
	x.taken, err = s.webhooks.Admit(x.Environment, x.verifier, &webhook.Request{Request: &x.Request, Body: body, Now: s.now()})
	return err
}

// Response is before the client has its answer: what it sends next upon that must find what became of
// this one.
func (signature) Response(x *Exchange, h *relay.ResponseHead, _ From) {
	if h.Status >= 200 {
		x.End(h.Status)
	}
}

// End is told how a request ended, by the status of its response, zero if it had none: a webhook's
// delivery may come again unless that was 2xx. Only the first call counts.
func (x *Exchange) End(status int) {
	if x.taken != nil {
		x.taken(status/100 == 2)
		x.taken = nil
	}
}
