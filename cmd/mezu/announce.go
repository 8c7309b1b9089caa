package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cmd/process"
)

// Pace of the probes that decide when everything is ready.
const (
	// probeInterval stays below the ten probes a second that an edge answers.
	probeInterval = 150 * time.Millisecond
	probeTimeout  = 5 * time.Second
	// readyTimeout is how long to wait for the first answer unless --timeout
	// says otherwise: a slow disk's first run takes seconds.
	readyTimeout = time.Minute
)

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
		API: r.apiURL(), CAFile: r.control.CAFile(), Token: r.developer.current(), Mailbox: r.siteURL() + r.mailbox.path, LoginLink: link,
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
	// Names below localhost need not resolve outside a browser.
	to := process.Dialable(r.edge.HTTPSAddr(), loopback)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, to)
		},
	}
	client := &http.Client{Transport: transport, Timeout: probeTimeout}
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		last := probe(waiting, client, r.publicURL()+"/.mezu/probe")
		if last == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-waiting.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &mezu.Error{Code: mezu.CodeUnavailable, Detail: fmt.Sprintf("%s did not answer within %s: %v", r.publicURL(), limit, last),
				Hint: "--timeout allows more time", Cause: last}
		}
	}
}

// maxProblem is more than any answer of the edge takes.
const maxProblem = 4 << 10

// probe makes one request; nil means that the Warpgate answered.
func probe(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblem)) // for the message only
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("status %d: %s", resp.StatusCode, strings.TrimSpace(string(body)))
	}
	return nil
}
