package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/probe"
)

// readyTimeout is how long to wait for the first answer unless --timeout says otherwise: a slow
// disk's first run takes seconds.
const readyTimeout = time.Minute

// announce waits until a request has gone from the public listener to the Warpgate and
// back, says so, and returns when ctx ends.
func (r *devRun) announce(ctx context.Context) error {
	if err := r.awaitReady(ctx); err != nil {
		return err
	}
	if err := r.saveProfile(); err != nil {
		// Everything runs, but other commands need flags to find it.
		r.log.Warn("the profile could not be written: other commands need --api, --ca-file and MEZU_TOKEN, as --json shows them", "error", err)
	}
	link, err := r.developer.loginLink(ctx)
	if err != nil {
		r.log.Warn("there is no link to log in at the control plane by", "error", err)
	}
	r.out.ready(mezu.Event{
		Event: mezu.EventReady, URL: r.publicURL(), Organization: r.Organization, Project: r.Project, Environment: r.Environment,
		Profile: r.profileName, API: r.apiURL(), CAFile: r.control.CAFile(), Token: r.developer.current(), Mailbox: r.siteURL() + r.mailbox.path, LoginLink: link,
	}, r.demo != nil, r.maxConns())
	<-ctx.Done()
	return nil
}

// publicURL is where the environment answers.
func (r *devRun) publicURL() string {
	u := "https://" + r.environment.Endpoint + "." + domain
	if r.port != 443 {
		u += ":" + strconv.Itoa(r.port)
	}
	return u
}

// awaitReady probes until the answer is 204.
func (r *devRun) awaitReady(ctx context.Context) error {
	limit := r.Flags.Timeout
	if limit == 0 {
		limit = readyTimeout
	}
	roots, err := invocation.Roots(r.control.CAFile())
	if err != nil {
		return err
	}
	prober, err := probe.New(r.publicURL(), roots, nil)
	if err != nil {
		return err
	}
	defer prober.Close()
	prober.At(mezu.Dialable(r.edge.HTTPSAddr(), loopback))
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if _, err = prober.Await(waiting); err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	return &mezu.Error{Code: mezu.CodeUnavailable, Detail: fmt.Sprintf("%s did not answer within %s: %v", r.publicURL(), limit, err),
		Hint: "--timeout allows more time", Cause: err}
}
