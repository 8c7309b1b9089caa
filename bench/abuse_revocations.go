package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/trust"
	"github.com/mezusphere/mezu/trust/ledger"
	"github.com/mezusphere/mezu/tunnel"
)

// Names of figures about revocations.
const (
	figRevokedStart   = "edge ready again ms"
	figRevokedEdge    = "edge MiB"
	figRevokedWelcome = "Warpgate registered ms"
	figRevokedTold    = "Warpgate told of all ms"
	figRevokedAgain   = "Warpgate told anew after a reconnect"
	figRevokedBack    = "Warpgate ready again ms"
	figRevokedGate    = "Warpgate MiB"
	figLookupOne      = "look-up of a session: ns with 1 revocation"
	figLookupMany     = "look-up of a session: ns with 200,000"
)

// revokedSubjects is how many are ended in one directory: users and sessions by turns.
const revokedSubjects = 200_000

// lookups is how many grants are looked up, lookupRuns times each.
const (
	lookups    = 100_000
	lookupRuns = 10
)

// takeRevocations is what 200,000 revocations in force in one directory take of an edge and of
// a Warpgate: the start, the memory, at the edge the registration of a Warpgate that they
// concern, and what both ask for each request. They are put into the logs as these would have
// written them; signatures are not verified there again.
func takeRevocations(ctx context.Context, b *bench, round int) error {
	if b.bin.mezusphere == "" {
		return errNotOurs
	}
	in, err := b.freshControl(ctx, "revocations", round)
	defer func() { in.stop() }()
	if err != nil {
		return err
	}
	directory, key, err := in.revocable(ctx)
	if err != nil {
		return err
	}
	admin, err := freeAddr()
	if err != nil {
		return err
	}
	if in.edge, err = in.startEdge(ctx, "edge", in.https, admin); err != nil {
		return err
	}
	if _, err := in.edge.awaitReady(ctx, admin); err != nil {
		return err
	}
	put := func(name string, v float64) { b.results.put(round, "revocations", nameOurs, name, v) }
	if err := b.takeRevokedWarpgate(ctx, in, directory, put); err != nil {
		return err
	}
	in.edge.stop()
	if err := fillLog(filepath.Join(in.dir, "edge", "revocations.log"), directory); err != nil {
		return err
	}
	begin := time.Now()
	if err := in.edge.launch(false); err != nil {
		return err
	}
	ready, err := in.edge.awaitReady(ctx, admin)
	if err != nil {
		return err
	}
	put(figRevokedStart, milliseconds(ready.Sub(begin)))
	var told mezu.Told
	welcome, all, n, err := in.listen(ctx, key, &told)
	if err != nil || n != revokedSubjects {
		return errors.Join(err, fmt.Errorf("a Warpgate was told of %d revocations", n))
	}
	put(figRevokedWelcome, milliseconds(welcome))
	put(figRevokedTold, milliseconds(all))
	if _, _, n, err = in.listen(ctx, key, &told); err != nil {
		return err
	}
	put(figRevokedAgain, float64(n))
	resident, err := in.edge.rss()
	put(figRevokedEdge, resident/1024)
	return errors.Join(err, takeLookups(directory, put))
}

// takeRevokedWarpgate starts a Warpgate that knows of all of them, while its edge knows of
// none.
func (b *bench) takeRevokedWarpgate(ctx context.Context, in *installation, directory string, put func(string, float64)) error {
	admin, err := freeAddr()
	if err != nil {
		return err
	}
	p, err := in.startWarpgate("revoked", b.upstream, false, "--health-addr", admin, "--token-file", filepath.Join(in.dir, "revoked.key"))
	defer p.stop()
	if err != nil {
		return err
	}
	if _, err := p.awaitReady(ctx, admin); err != nil {
		return err
	}
	p.stop()
	if err := fillLog(filepath.Join(in.dir, "state-revoked", "revocations.log"), directory); err != nil {
		return err
	}
	begin := time.Now()
	if err := p.launch(false); err != nil {
		return err
	}
	back, err := p.awaitReady(ctx, admin)
	if err != nil {
		return err
	}
	put(figRevokedBack, milliseconds(back.Sub(begin)))
	resident, err := p.rss()
	put(figRevokedGate, resident/1024)
	return err
}

// takeLookups asks for grants of a directory, none of which is revoked, what edge and Warpgate
// ask for each request: with one revocation in force, and with all, by turns.
func takeLookups(directory string, put func(string, float64)) error {
	now := time.Now()
	few, many := trust.New(nil, nil), trust.New(nil, nil)
	for i := range revokedSubjects {
		r := revocation(directory, i, now)
		many.Revoke(&r)
		if i == 0 {
			few.Revoke(&r)
		}
	}
	asked := make([]mezu.Grant, lookups)
	for i := range asked {
		asked[i] = mezu.Grant{Session: mezu.NewID(mezu.PrefixSession, now), User: mezu.NewID(mezu.PrefixUser, now), Directory: directory}
	}
	took := map[*trust.Anchor][]float64{}
	for range lookupRuns {
		for _, a := range []*trust.Anchor{few, many} {
			begin := time.Now()
			for i := range asked {
				if a.GrantRevoked(&asked[i]) {
					return errors.New("a grant is revoked that nobody has revoked")
				}
			}
			took[a] = append(took[a], float64(time.Since(begin).Nanoseconds())/lookups)
		}
	}
	for a, name := range map[*trust.Anchor]string{few: figLookupOne, many: figLookupMany} {
		slices.Sort(took[a])
		put(name, percentile(took[a], 50))
	}
	return nil
}

// awaitReady waits until a program says that it is ready.
func (p *process) awaitReady(ctx context.Context, admin string) (time.Time, error) {
	for deadline := time.Now().Add(startTime); time.Now().Before(deadline) && ctx.Err() == nil && !p.ended(); time.Sleep(pollPause) {
		if ready(admin) {
			return time.Now(), nil
		}
	}
	return time.Time{}, fmt.Errorf("it does not get ready: %s", p.tail())
}

// revocable makes an environment that names a directory, and gives the directory's id and
// a key for its Warpgates.
func (in *installation) revocable(ctx context.Context) (directory, key string, err error) {
	_, file, err := in.addEnvironment(ctx, "revoked")
	if err != nil {
		return "", "", err
	}
	made, err := api.Invoke[mezu.Directory](ctx, in.client, api.OpCreateDirectory, mezu.Directory{Name: "people"}, "revoked", "load")
	if err == nil {
		_, err = api.Invoke[mezu.Environment](ctx, in.client, api.OpUpdateEnvironment, map[string]any{"directory": "people"}, "revoked", "load", mezu.EnvironmentProduction)
	}
	if err != nil {
		return "", "", err
	}
	text, err := os.ReadFile(file)
	return made.ID, string(text), err
}

// fillLog puts the revocations into an edge's log.
func fillLog(path, directory string) error {
	anchor := trust.New(nil, nil)
	l, _, err := ledger.Open(path, anchor, time.Now, ledger.Mark{})
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	for i := range revokedSubjects {
		r := revocation(directory, i, now)
		payload, err := json.Marshal(r)
		if err == nil {
			_, err = l.Add(anchor, &r, mezu.Signed{Purpose: mezu.PurposeRevocation, KeyID: mezu.NewID("key", now), Payload: payload, Signature: make([]byte, 64)})
		}
		if err != nil {
			return errors.Join(err, l.Close())
		}
	}
	return errors.Join(l.Flush(), l.Close())
}

// revocation is the n-th.
func revocation(directory string, n int, now time.Time) mezu.Revocation {
	r := mezu.Revocation{Position: mezu.Position{Epoch: 1, Revision: 1}, Kind: mezu.RevokeUser, Subject: mezu.NewID(mezu.PrefixUser, now), Scope: directory,
		NotBefore: now, Until: now.Add(mezu.MaxGrantLife)}
	if n%2 == 1 {
		r.Kind, r.Subject = mezu.RevokeSession, mezu.NewID(mezu.PrefixSession, now)
	}
	return r
}

// listen registers a Warpgate and waits until it was told of everything. It gives how long
// the welcome took, how long all of it took, and of how many revocations it was told.
// *told is how far it was told before, and becomes how far it is told now.
func (in *installation) listen(ctx context.Context, key string, told *mezu.Told) (welcome, all time.Duration, n int, err error) {
	roots, err := trust.LoadRoots(in.ca)
	if err != nil {
		return 0, 0, 0, err
	}
	client, err := apiClient(in.api, &tls.Config{RootCAs: roots}, key)
	if err != nil {
		return 0, 0, 0, err
	}
	defer client.CloseIdle()
	signer, pem, err := trust.NewKey()
	if err != nil {
		return 0, 0, 0, err
	}
	csr, err := trust.CSR(signer)
	if err != nil {
		return 0, 0, 0, err
	}
	got, err := api.Invoke[api.RegisterResponse](ctx, client, api.OpRegisterWarpgate, api.RegisterRequest{CSR: csr})
	if err != nil {
		return 0, 0, 0, err
	}
	cert, err := trust.KeyPair([]byte(got.Certificates), pem)
	if err != nil {
		return 0, 0, 0, err
	}
	anchor := trust.New(got.TrustRoot, nil)
	if _, err := anchor.AcceptKeyset(got.Keyset); err != nil {
		return 0, 0, 0, err
	}
	var count, epoch atomic.Uint64
	welcomed, over := make(chan time.Time, 1), make(chan mezu.Told, 1)
	config := anchor.EdgeTLS(func() (*tls.Certificate, error) { return cert, nil }, "", mezu.ProtocolControl)
	link := tunnel.NewLink(tunnel.LinkConfig{
		Edge: mezu.EdgeInfo{TunnelAddress: in.https}, TLS: func(string) *tls.Config { return config }, Epoch: func() uint64 { return epoch.Add(1) },
		Serve: func(ctx context.Context, _ net.Conn) { <-ctx.Done() },
		Told:  func() mezu.Told { return *told },
		Statement: func(doc mezu.Signed) {
			if doc.Purpose == mezu.PurposeRevocation {
				count.Add(1)
			}
		},
		Current: func(t mezu.Told) {
			select {
			case over <- t:
			default:
			}
		},
		State: func(s tunnel.LinkState, _ error) {
			if s == tunnel.LinkConnected {
				welcomed <- time.Now()
			}
		},
	})
	ctx, cancel := context.WithTimeout(ctx, startTime)
	ended := make(chan struct{})
	defer func() { cancel(); <-ended }()
	begin := time.Now()
	go func() { defer close(ended); _ = link.Run(ctx) }()
	for welcome == 0 || all == 0 {
		select {
		case at := <-welcomed:
			welcome = at.Sub(begin)
		case *told = <-over:
			all = time.Since(begin)
		case <-ctx.Done():
			return 0, 0, 0, fmt.Errorf("waiting for an edge's WELCOME and revocations: %w", ctx.Err())
		}
	}
	return welcome, all, int(count.Load()), nil
}
