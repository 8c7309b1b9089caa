package oauth_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// The command logs in, stays logged in and logs out by the client that it has.
func TestTheClientOfTheCommand(t *testing.T) {
	w := newWorld(t)
	ctx, c := t.Context(), w.Client("", nil)
	a, err := c.Authority(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Redeem(ctx, a, w.allow(), redirectURI, verifier)
	if err != nil {
		t.Fatal(err)
	}
	next, err := c.Refresh(ctx, a, w.Secret(got.Refresh))
	if err != nil || !w.opens(w.Secret(next.Access)) {
		t.Fatal(next, err)
	}
	d, err := c.AskDevice(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	var told *api.ProgramError
	if _, err := c.PollDevice(ctx, a, d.Code); !errors.As(err, &told) || told.Code != api.ProgramPending {
		t.Errorf("pending: %v", err)
	}
	if _, err := c.PollDevice(ctx, a, d.Code); !errors.As(err, &told) || told.Code != api.ProgramSlowDown {
		t.Errorf("too early: %v", err)
	}
	if r := w.answer(d.UserCode, "allow"); r.status != http.StatusOK {
		t.Fatal(r.status)
	}
	other, err := c.PollDevice(ctx, a, d.Code)
	if err != nil || controltest.Call[api.Self](t, w.Client(w.Secret(other.Access), nil), api.OpSelf, nil).ID != w.person {
		t.Fatal(err)
	}
	if err := c.RevokeLogin(ctx, a, w.Secret(next.Refresh)); err != nil || w.opens(next.Access) || !w.opens(other.Access) {
		t.Errorf("revoked: %v", err)
	}
	if _, err := c.Refresh(ctx, a, next.Refresh); !errors.As(err, &told) || told.Code != api.ProgramInvalidGrant {
		t.Errorf("after that: %v", err)
	}
}
