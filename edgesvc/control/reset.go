package control

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/mezusphere/mezu/edgesvc/control/service"
	"github.com/mezusphere/mezu/edgesvc/control/state"
	"github.com/mezusphere/mezu/edgesvc/control/vault"
)

// ResetRequest says what a reset is to do.
type ResetRequest struct {
	// Operator is the id or address of an operator; if it is empty, the one who became operator
	// first is meant.
	Operator string `json:"operator,omitempty"`
	// Revoke ends everything with which that operator came in until now: tokens, logins,
	// sessions, password.
	Revoke bool `json:"revoke,omitempty"`
}

// Reset is a new bootstrap link, which lets an operator in again, or the first one.
type Reset struct {
	// Link is for a browser, Code what stands behind its «#». Link and Site are empty if it
	// is not known where people reach the control plane: it never ran with this state.
	Link string `json:"link,omitempty"`
	Site string `json:"site,omitempty"`
	Code string `json:"code,omitempty"`
	// Operator is whom it lets in, by id, and Email the address of that person. Operator is
	// empty if there is none yet: whoever uses the link becomes the first.
	Operator string `json:"operator,omitempty"`
	Email    string `json:"email,omitempty"`
	// ExpiresAt: if zero, never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// Ended says that a link of before opens nothing any more.
	Ended bool `json:"ended"`
	// Revoked says that nothing else lets the operator in any more.
	Revoked bool `json:"revoked,omitempty"`
	// CAFile has the roots by which clients on this machine know the control plane; empty if
	// they are another CA's, or it is not known.
	CAFile string `json:"ca_file,omitempty"`
}

// Flags are those of mezu bootstrap for the code.
func (r Reset) Flags() string { return bootstrapFlags(r.CAFile, cmp.Or(r.Site, "URL"), r.Code) }

// ResetOperator makes a new bootstrap link and ends the one before. It is for whoever owns the
// state directory. Listen comes first.
func (c *Control) ResetOperator(ctx context.Context, in ResetRequest) (Reset, error) {
	// Of two at once, the first one could write its link, which has ended, over the second's.
	c.resetting.Lock()
	defer c.resetting.Unlock()
	return resetOperator(ctx, c.service, c.state, c.front.Site(), c.front.OwnCertificate(), in)
}

// ResetOperator is the method for a control plane that isn't running, or whose store several
// processes may have. It makes no installation where there is none.
func ResetOperator(ctx context.Context, cfg Config, in ResetRequest) (out Reset, err error) {
	if cfg.Domain == "" {
		cfg.Domain = "localhost" // no record of a reset depends on it
	}
	c, err := New(cfg)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(state.Exposed(err), c.Close()) }()
	if err := c.state.Prepare(); err != nil {
		return out, err
	}
	if err := c.state.OpenExisting(ctx); err != nil {
		return out, err
	}
	authority, err := vault.Open(ctx, vault.Config{Store: c.state.Store(), Offline: c.state.Offline(), Holder: c.state.Holder(), Now: c.cfg.Now, Log: c.cfg.Log})
	if err != nil {
		return out, err
	}
	s, err := service.Open(ctx, service.Config{StoreConfig: service.StoreConfig{Store: c.state.Store(), Authority: authority, Log: c.cfg.Log, Now: c.cfg.Now}, Domain: c.cfg.Domain})
	if err != nil {
		return out, err
	}
	site, byCA, err := c.state.Site()
	if err != nil {
		return out, err
	}
	return resetOperator(ctx, s, c.state, site, byCA, in)
}

func resetOperator(ctx context.Context, s *service.Service, dir *state.State, site string, byCA bool, in ResetRequest) (Reset, error) {
	made, err := s.ResetCode(ctx, dir.Holder(), in.Operator, in.Revoke)
	if err != nil {
		return Reset{}, err
	}
	out := Reset{Site: site, Code: made.Code, Operator: made.Operator, Email: made.Email, ExpiresAt: made.ExpiresAt, Ended: made.Ended, Revoked: made.Revoked}
	if byCA {
		out.CAFile = dir.CAFile()
	}
	if site != "" {
		out.Link = state.BootstrapLink(site, made.Code)
	}
	if made.Operator == "" && site != "" {
		_, err = dir.WriteBootstrap(site, made.Code) // the file has the link that has ended
	}
	return out, err
}
