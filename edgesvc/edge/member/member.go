// Package member is an edge as a member of an installation: who it is, what the control
// plane says, the certificates that it shows and what it reports, on one state directory.
//
// What lives here: what ties these together, and their life. What may not: any of the four
// (packages identity, replica, certificate and report), listeners, tunnels and requests.
// Only edgesvc/edge imports it.
package member

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/certificate"
	"github.com/mezusphere/mezu/edgesvc/edge/identity"
	"github.com/mezusphere/mezu/edgesvc/edge/replica"
	"github.com/mezusphere/mezu/edgesvc/edge/report"
	"github.com/mezusphere/mezu/trust"
	"github.com/mezusphere/mezu/trust/statedir"
)

// rejectedSuffix marks a file that was set aside.
const rejectedSuffix = ".rejected"

// ErrUnknownServer ends a handshake for a server name that is none of ours.
var ErrUnknownServer = certificate.ErrUnknownServer

// Config says which member this is and who is told of changes.
type Config struct {
	// Control is the control plane's https URL; of several all, with commas between.
	Control string
	// CAFile holds the roots, in PEM, under which Control is verified; if empty,
	// the system's. A file that is missing or holds anything else is an error.
	CAFile string
	// JoinToken gives the single-use token of the enrolment. It is asked only
	// when there is no usable certificate; if nil, there is none.
	JoinToken func() (string, error)
	// StateDir belongs to this member alone for as long as it is open.
	StateDir string

	// Name, TunnelAddress, PublicAddress and Version are what the edge says of
	// itself.
	Name, TunnelAddress, PublicAddress, Version string

	// TLSCert and TLSKey are files with the chain and key that serve all hosts
	// under the domain; they are read again when they change. If both are empty, each
	// endpoint gets a certificate of the internal CA.
	TLSCert, TLSKey string

	// Log; if nil, nothing is logged.
	Log *slog.Logger
	// Now decides on validity; if nil, time.Now.
	Now func() time.Time
	// Dial replaces the dialler towards the control plane; if nil, TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// OnStatement gets each statement that took effect and is no revocation, in order;
	// environment is empty for those that concern all. It must not block. If nil,
	// nobody is told.
	OnStatement func(environment string, statement mezu.Signed)
	// OnRevocation gets each new revocation once, and the statement that it was
	// opened from. It must not block. If nil, nobody is told.
	OnRevocation func(*mezu.Revocation, mezu.Signed)
	// OnContent gets what edges alone know of an environment, when it takes effect; nil if
	// there is none any more. It must not block. If nil, nobody is told.
	OnContent func(environment string, content *mezu.EdgeContent)
	// Presence lists the Warpgates that the edge holds now, for full reports; if
	// nil, none.
	Presence func() []mezu.Presence
}

// Member is an edge that is open. It is safe for concurrent use.
type Member struct {
	*identity.Identity
	*replica.Replica
	certificates *certificate.Store
	reports      *report.Reporter
	dir          *statedir.Dir
}

// Metrics is the state of a member in numbers.
type Metrics struct {
	replica.Metrics
	// CertificateNotAfter ends the peer certificate; zero before enrolment.
	CertificateNotAfter time.Time
	// PublicCertificates are the server certificates at hand.
	PublicCertificates int
}

// Open makes and locks the state directory and loads what is on disk; it serves
// from that at once. Files that do not verify are set aside. It fails when the
// directory can't be used, when a configured file is bad, and with a *mezu.Error
// when the directory holds an identity that can't be read.
func Open(cfg Config) (*Member, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &Member{}
	if err := m.assemble(cfg); err != nil {
		return nil, err
	}
	dir, err := statedir.Open(statedir.Config{Path: cfg.StateDir, Owner: "edge", Folders: []string{replica.Folder, replica.KeysFolder, replica.PartsFolder, certificate.Folder},
		Suffix: rejectedSuffix, Log: cfg.Log})
	if err != nil {
		return nil, err
	}
	m.dir = dir
	if err := m.load(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// assemble makes the parts and tells each of the others.
func (m *Member) assemble(cfg Config) (err error) {
	m.Identity = identity.New(identity.Config{
		Control: cfg.Control, CAFile: cfg.CAFile, JoinToken: cfg.JoinToken, Dial: cfg.Dial,
		Name: cfg.Name, TunnelAddress: cfg.TunnelAddress, PublicAddress: cfg.PublicAddress, Version: cfg.Version,
		Log: cfg.Log, Now: cfg.Now,
		OnPinned:  func(anchor *trust.Anchor) error { return m.Replica.Pin(anchor) },
		OnKeyset:  func(keyset mezu.Signed) { m.Replica.KeepKeyset(keyset) },
		OnMoved:   func() { m.Replica.Move() },
		OnRenewed: func() { m.Replica.Renewed() },
	})
	m.certificates, err = certificate.New(certificate.Config{Identity: m.Identity, CertFile: cfg.TLSCert, KeyFile: cfg.TLSKey, Log: cfg.Log, Now: cfg.Now})
	if err == nil {
		err = m.Check()
	}
	if err != nil {
		return err
	}
	m.reports = report.New(report.Config{
		Client: m.Identity.Client, Applied: func() mezu.Position { return m.Replica.Durable() }, Presence: cfg.Presence,
		TunnelAddress: cfg.TunnelAddress, PublicAddress: cfg.PublicAddress, Version: cfg.Version, Log: cfg.Log, Now: cfg.Now,
	})
	m.Replica = replica.New(replica.Config{
		Identity: m.Identity, Certificates: m.certificates, Log: cfg.Log, Now: cfg.Now,
		OnStatement: func(environment string, statement mezu.Signed) {
			if cfg.OnStatement != nil {
				cfg.OnStatement(environment, statement)
			}
		},
		OnRevocation: func(r *mezu.Revocation, statement mezu.Signed) {
			if cfg.OnRevocation != nil {
				cfg.OnRevocation(r, statement)
			}
			m.Identity.CheckRevoked()
		},
		OnContent: func(environment string, content *mezu.EdgeContent) {
			if cfg.OnContent != nil {
				cfg.OnContent(environment, content)
			}
		},
		OnConnected: m.reports.RequireFull,
		OnDurable:   m.reports.Poke,
	})
	return nil
}

// load reads the state directory.
func (m *Member) load() error {
	m.certificates.SetDir(m.dir)
	if err := m.Identity.Load(m.dir); err != nil {
		return err
	}
	if err := m.Replica.Load(m.dir); err != nil {
		return err
	}
	// Without a keyset no bundle was read, and certificates of which nobody knows whether
	// they are needed must stay.
	if anchor := m.Trust(); anchor != nil {
		if _, keyset := anchor.Keyset(); keyset != nil {
			m.certificates.Load()
		}
	}
	return nil
}

// Close gives the state directory back. Call it after Run has returned; it is
// idempotent.
func (m *Member) Close() error { return errors.Join(m.Replica.Close(), m.dir.Close()) }

// Run enrols if there is no usable certificate, then follows the control plane,
// reports and renews until ctx ends, and returns nil. Before enrolment it
// returns a *mezu.Error when trying again is no use; after it, nothing that the
// control plane does or fails to do ends it.
func (m *Member) Run(ctx context.Context) error {
	if err := m.Enrol(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var wg sync.WaitGroup
	for _, run := range []func(context.Context){m.Replica.Run, m.reports.Run, m.Renew, m.certificates.Run} {
		wg.Go(func() { run(ctx) })
	}
	wg.Wait()
	m.Flush()
	return nil
}

// Ready reports whether the edge can serve: it has a valid certificate, and is in step
// with the control plane, or was in an earlier life and can't reach it now.
func (m *Member) Ready() bool { return m.Unready() == "" }

// Unready says why the edge can't serve, or nothing.
func (m *Member) Unready() string {
	if _, err := m.PeerCertificate(); err != nil {
		return err.Error()
	}
	return m.Replica.Unready()
}

// PublicCertificate gives the certificate for a TLS handshake with the public. It
// fits tls.Config.GetCertificate.
func (m *Member) PublicCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return m.certificates.PublicCertificate(hello)
}

// PresenceChanged queues the change for the next report. It never blocks.
func (m *Member) PresenceChanged(change mezu.Presence) { m.reports.PresenceChanged(change) }

// Metrics reads the counters. It walks over all endpoints and is meant for
// scrapes, not for requests.
func (m *Member) Metrics() Metrics {
	return Metrics{Metrics: m.Replica.Metrics(), CertificateNotAfter: m.NotAfter(), PublicCertificates: m.certificates.Len()}
}
