// Package oauth is the authorization server of the control plane (OAuth 2.1): how a program
// that acts for a person, such as `mezu`, is logged in by a browser, gets tokens, and loses
// them again.
//
// What lives here: its endpoints and the pages on which people answer, the codes and refresh
// tokens behind them, and the one client that there is. What may not: who a person is and how
// they log in (Visitor says that), how a page looks (package pages), what a bearer token
// opens (package access). Control/service imports it.
//
// Package op of zitadel/oidc reads the calls of programs and writes the answers. It has none
// of its own storage, and no key: nothing here is signed, because a bearer token is a secret
// whose hash is in the store.
package oauth

import (
	"context"
	"net/http"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/gcra"
)

// Visitor says who uses a browser.
type Visitor interface {
	// TeamSession gives the person who is logged in, by id. It is false if nobody is.
	TeamSession(*http.Request) (person string, ok bool, err error)
}

// Config is what a Provider works with.
type Config struct {
	// Site is https://host[:port] of this control plane: the issuer.
	Site    string
	Visitor Visitor
	// NoDeviceLogin switches the login of devices without a browser off.
	NoDeviceLogin bool
	// DeviceLogin reports whether a person's organizations let them log in such devices.
	DeviceLogin func(ctx context.Context, person string) (bool, error)
	// Counted is told of each login of a program, refresh and end, by how it ended; if nil,
	// nobody is.
	Counted func(what, outcome string)
}

// Provider is the authorization server.
type Provider struct {
	records *record.Records
	access  *access.Access
	cfg     Config
	// programs answers what programs ask.
	programs http.Handler
	// networks bounds what a network asks, polls how often a device asks whether somebody
	// has answered, and begun and begunBy how many devices ask for a code: of all networks
	// and of each.
	networks, polls, begun, begunBy *gcra.Limiter
	blindKey                        []byte // of the index of user codes
}

// Bounds of what strangers ask of one control plane.
const (
	// networkRate a second is far above what a network's programs need: one of them asks
	// for a token once an hour, and one that waits for an answer every five seconds.
	networkRate  = 20
	networkBurst = 100
	// begunRate bounds the records of devices that nobody answers: 6,000 within the life of
	// a code.
	begunRate  = 10
	begunBurst = 100
	// networkBegun a minute leaves most of that to other networks.
	networkBegun = 20
	// pollSlack lets a device poll a little early, because networks delay one call more
	// than the next.
	pollSlack = time.Second
)

// purposeUserCodes derives the key of the index of user codes.
const purposeUserCodes = "codes that people type to log in a device"

// New makes a Provider.
func New(r *record.Records, a *access.Access, cfg Config) *Provider {
	if cfg.Counted == nil {
		cfg.Counted = func(string, string) {}
	}
	p := &Provider{
		records: r, access: a, cfg: cfg, blindKey: r.Store.Derive(purposeUserCodes),
		networks: gcra.New(gcra.Rate{Events: networkRate, Per: time.Second, Burst: networkBurst}),
		begun:    gcra.New(gcra.Rate{Events: begunRate, Per: time.Second, Burst: begunBurst}),
		begunBy:  gcra.New(gcra.Rate{Events: networkBegun, Per: time.Minute, Burst: networkBegun}),
		polls:    gcra.New(gcra.Rate{Events: 1, Per: pollInterval - pollSlack, Burst: 1}),
	}
	p.programs = op.RegisterServer(&server{Provider: p}, op.Endpoints{
		Token: op.NewEndpoint(pathToken), DeviceAuthorization: op.NewEndpoint(pathDeviceAuthorization),
		Revocation: op.NewEndpoint(pathRevoke), JwksURI: op.NewEndpoint(pathKeys),
	}, op.WithServerCORSOptions(nil))
	return p
}

// Jobs remove what has ended.
func (p *Provider) Jobs() []record.Job {
	return []record.Job{{Name: "sweeping logins of programs", Every: record.SweepInterval, Run: p.sweep}}
}
