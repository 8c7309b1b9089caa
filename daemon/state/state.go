// Package state is what a Warpgate holds: its private key and certificate, the
// pinned trust root, and the signed statements that it runs by. They are verified,
// compiled and kept in a state directory, so that the Warpgate serves again after a
// restart even if it can't reach the control plane.
//
// What lives here: which files there are, and the judgement of what may be believed. A
// file that was cut or altered counts as absent: nothing in it is used, and what it held is
// fetched again. What may not: the network, retries, goroutines. Only
// package warpgate imports it.
package state

import (
	"crypto"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/assertion"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/trust"
	"github.com/mezusphere/mezu/trust/ledger"
	"github.com/mezusphere/mezu/trust/statedir"
)

// Errors of statements. Others say that a statement doesn't verify or compile.
var (
	// ErrBackwards: the statement is older than one seen before.
	ErrBackwards = trust.ErrBackwards
	// ErrForeign: the bundle is another environment's.
	ErrForeign = errors.New("bundle belongs to another environment")
	// ErrRevoked: this Warpgate's own certificate has been revoked.
	ErrRevoked = errors.New("the certificate of this Warpgate has been revoked")
	// ErrRoot: the control plane presents another trust root than the pinned.
	ErrRoot = errors.New("the trust root is another one")
	// ErrUnregistered: there is no trust root or certificate yet.
	ErrUnregistered = errors.New("not registered yet")
)

// Registration is what is known of the last registration, beside what the
// certificate says.
type Registration struct {
	// API, Wanted and TokenHash are the settings under which it was made: the
	// control plane's URL, the environment asked for (empty: left to the
	// service account) and HashSecret of the key (empty: an enrolment token).
	API       string `json:"api"`
	Wanted    string `json:"wanted,omitempty"`
	TokenHash string `json:"token_hash,omitempty"`
	// EnrolmentHash is HashSecret of the enrolment token, which is used up. It tells the
	// next one apart.
	EnrolmentHash string `json:"enrolment_hash,omitempty"`

	Warpgate     string `json:"warpgate"`     // id
	Organization string `json:"organization"` // name
	Project      string `json:"project"`      // name
	Environment  string `json:"environment"`  // name
	URL          string `json:"url"`
}

// State is an open state directory. It is safe for concurrent use.
type State struct {
	dir   string
	now   func() time.Time
	log   *slog.Logger
	files *statedir.Dir

	mu           sync.Mutex // held while a statement is judged and written
	key          crypto.Signer
	root         ed25519.PublicKey
	registration *Registration
	bundle       *trust.InForce      // nil while there is none
	edges        *trust.InForce      // likewise
	keys         *trust.InForce      // likewise, by which the environment's Warpgates sign
	listed       *mezu.AssertionKeys // in keys
	revoked      *ledger.Ledger      // nil without an anchor
	unflushed    bool                // something was added to revoked since the last Flush

	anchor   atomic.Pointer[trust.Anchor]
	own      atomic.Pointer[certificate]
	table    atomic.Pointer[policy.Table]
	edgeList atomic.Pointer[mezu.EdgeList]
	saved    atomic.Pointer[mezu.Position] // of the bundle on disk
	domain   atomic.Pointer[string]        // the endpoint is a label under it; nil while it is not known
	ended    atomic.Pointer[func(*mezu.Revocation)]
	minter   atomic.Pointer[assertion.Minter] // nil while nothing may be signed

	start uint64 // set once, by Open
	epoch atomic.Uint64
}

// Open makes the directory if need be, locks it, and loads what verifies. It fails only if
// the directory can't be used at all: another process has locked it, it can't be written
// to, it is no directory, or it has no key and no room for one.
func Open(dir string, now func() time.Time, log *slog.Logger) (*State, error) {
	files, err := statedir.Open(statedir.Config{Path: dir, Owner: "Warpgate", Checksums: true, Suffix: damagedSuffix})
	if err != nil {
		return nil, err
	}
	s := &State{dir: dir, now: now, log: log, files: files}
	s.saved.Store(&mezu.Position{})
	s.countStart()
	counted := s.saveEpoch()
	if full(counted) {
		s.log.Warn("no room for the number of this start; going on with what the disk has", "error", counted)
		counted = nil
	}
	if err := errors.Join(counted, s.loadKey()); err != nil {
		return nil, files.Unusable(errors.Join(err, files.Close()))
	}
	if err := s.load(); err != nil {
		return nil, files.Unusable(errors.Join(err, files.Close()))
	}
	return s, nil
}

// epochStep is the room for registrations between one start and the next: far
// more than there can be in a millisecond.
const epochStep = 1 << 20

// countStart sets the epoch of this start: the time in milliseconds, or one more than the
// last start's if the clock went back. Because of the time, the epoch still rises if the
// file is lost or there is no room for it. Edges take a registration with a higher epoch for
// the newer one.
func (s *State) countStart() {
	last := uint64(0)
	if content, err := s.files.Read(fileEpoch); s.usable(fileEpoch, err) {
		last, _ = strconv.ParseUint(string(content), 10, 43)
	}
	s.start = max(last+1, uint64(max(s.now().UnixMilli(), 0)))
	s.epoch.Store(s.start * epochStep)
}

func (s *State) saveEpoch() error {
	return s.write(fileEpoch, strconv.AppendUint(nil, s.start, 10))
}

// Epoch returns a higher number than at any call before, those before a restart included.
func (s *State) Epoch() uint64 { return s.epoch.Add(1) }

// load reads all but the key. Each file is verified by what was read before it, which gives
// the order.
func (s *State) load() error {
	if s.readJSON(fileRegistration, &s.registration) && s.registration != nil &&
		mezu.ValidateID("", mezu.PrefixWarpgate, s.registration.Warpgate) != nil {
		s.registration = nil
	}
	s.domain.Store(domainOf(s.registration))
	root, err := s.readRoot()
	if !s.usable(fileRoot, err) {
		return nil
	}
	s.root = root
	anchor := trust.New(root, s.now)
	if err := s.openRevocations(anchor, false); err != nil {
		return err
	}
	s.anchor.Store(anchor)

	var keyset mezu.Signed
	if !s.readJSON(fileKeyset, &keyset) {
		return nil
	}
	if _, err := s.anchor.Load().AcceptKeyset(keyset); !s.usable(fileKeyset, err) {
		return nil
	}
	s.loadRevocations()
	s.loadCertificate()
	s.loadStatements()
	return nil
}

// openRevocations opens the log of revocations for an anchor. fresh removes the one that is
// there, because it was another anchor's. s.mu is held or s is not shared yet.
func (s *State) openRevocations(anchor *trust.Anchor, fresh bool) error {
	path := s.files.Path(fileRevocations)
	if s.revoked != nil {
		if err := s.revoked.Close(); err != nil {
			return err
		}
		s.revoked = nil
	}
	if fresh {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the log of revocations: %w", err)
		}
	}
	log, report, err := ledger.Open(path, anchor, s.now, ledger.Mark{})
	if err != nil {
		return err
	}
	if report.Lost {
		s.log.Warn("the log of revocations was damaged; edges tell anew what is lost", "file", path, "reason", report.Why)
	}
	s.revoked = log
	return nil
}

// loadRevocations moves the revocations that the version before kept, and that still verify,
// into the log.
func (s *State) loadRevocations() {
	var list []mezu.Signed
	if !s.readJSON(fileRevocationList, &list) {
		return
	}
	for _, statement := range list {
		if _, err := s.judgeRevocation(s.anchor.Load(), statement); err != nil {
			s.log.Warn("dropping a revocation", "error", err)
		}
	}
	if err := s.revoked.Flush(); err != nil {
		s.log.Warn("writing to the state directory", "error", err)
		return
	}
	if err := os.Remove(s.files.Path(fileRevocationList)); err != nil {
		s.log.Warn("tidying the state directory", "error", err)
	}
}

// loadStatements reads bundle, edges and the keys by which assertions are signed.
func (s *State) loadStatements() {
	var statement mezu.Signed
	if s.readJSON(fileEdges, &statement) {
		_, err := s.acceptEdges(statement)
		s.usable(fileEdges, err)
	}
	statement = mezu.Signed{}
	if s.readJSON(fileBundle, &statement) {
		_, err := s.acceptBundle(statement)
		s.usable(fileBundle, err)
	}
	if t := s.table.Load(); t != nil {
		pos := t.Position()
		s.saved.Store(&pos)
	}
	statement = mezu.Signed{}
	if s.readJSON(fileAssertions, &statement) {
		_, err := s.acceptAssertions(statement)
		s.usable(fileAssertions, err)
	}
}

// Registration is the last one, nil before the first or if its file was lost.
func (s *State) Registration() *Registration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.registration
}

// Certified reports whether there is a certificate that is valid now and not
// revoked.
func (s *State) Certified() bool {
	own := s.own.Load()
	return own != nil && own.validAt(s.now()) && !s.Revoked()
}

// Revoked reports whether the own certificate is among the revoked.
func (s *State) Revoked() bool {
	own := s.own.Load()
	return own != nil && s.anchor.Load().CertificateRevoked(own.serial)
}

// Anchor is nil before the first registration.
func (s *State) Anchor() *trust.Anchor { return s.anchor.Load() }

// Table is the bundle in use, nil while there is none.
func (s *State) Table() *policy.Table { return s.table.Load() }

// Serves reports whether a canonical host is that of the environment's endpoint: the
// label is in the bundle, the domain in the control plane's last answer.
func (s *State) Serves(host string) bool {
	table := s.table.Load()
	if table == nil {
		return false
	}
	rest, ok := strings.CutPrefix(host, table.Bundle().Endpoint)
	if !ok || len(rest) < 2 || rest[0] != '.' {
		return false
	}
	domain := s.domain.Load()
	return domain == nil || rest[1:] == *domain
}

// Domain is the one below which all endpoints are, empty while it is not known.
func (s *State) Domain() string {
	if d := s.domain.Load(); d != nil {
		return *d
	}
	return ""
}

// domainOf is the domain of a registration's URL, nil if there is none. Without it Serves
// checks the label alone, until the next renewal brings it.
func domainOf(r *Registration) *string {
	if r == nil {
		return nil
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil
	}
	host, err := mezu.CanonicalHost(u.Host)
	if err != nil {
		return nil
	}
	_, domain, ok := strings.Cut(host, ".")
	if !ok {
		return nil
	}
	return &domain
}

// Edges is the list in use, nil while there is none.
func (s *State) Edges() []mezu.EdgeInfo {
	if l := s.edgeList.Load(); l != nil {
		return l.Edges
	}
	return nil
}

// Applied is the position of the bundle that is in use and on disk, zero if
// there is none.
func (s *State) Applied() mezu.Position { return *s.saved.Load() }

// Identity is who the own certificate says that this Warpgate is, valid or not;
// zero if there is none.
func (s *State) Identity() mezu.Identity {
	if own := s.own.Load(); own != nil {
		return own.identity
	}
	return mezu.Identity{}
}

// Certificate is the one to show to peers; it fits tls.Config's callbacks.
func (s *State) Certificate() (*tls.Certificate, error) {
	if own := s.own.Load(); own != nil {
		return own.tls, nil
	}
	return nil, ErrUnregistered
}

// Lifetime is when the own certificate was issued and when it ends, zero if
// there is none.
func (s *State) Lifetime() (issued, notAfter time.Time) {
	if own := s.own.Load(); own != nil {
		return own.issued(), own.leaf.NotAfter
	}
	return
}

// Serial is the serial number of the own certificate, empty if there is none.
func (s *State) Serial() string {
	if own := s.own.Load(); own != nil {
		return own.serial
	}
	return ""
}

// Flush writes what could not be written before, and the revocations that came since the
// last call.
func (s *State) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flush()
}

func (s *State) flush() error {
	var revocations error
	if s.unflushed && s.revoked != nil {
		revocations = s.flushRevocations(s.anchor.Load())
	}
	err := s.files.Flush(true)
	s.noteSaved()
	return errors.Join(err, revocations)
}

// flushRevocations writes what was added to the log of revocations, and drops from it and from
// the anchor what has ended. There is no anchor after a first registration whose certificate was
// refused: what its answer revoked is written, and the next registration begins another log.
// s.mu is held.
func (s *State) flushRevocations(anchor *trust.Anchor) error {
	s.unflushed = true
	if err := s.revoked.Flush(); err != nil {
		return err
	}
	if anchor != nil {
		anchor.ForgetEnded()
		if _, err := s.revoked.Tidy(anchor); err != nil {
			return err
		}
	}
	s.unflushed = false
	return nil
}

// saveBundle writes the bundle in force; s.mu is held.
func (s *State) saveBundle() error {
	err := s.saveStatement(fileBundle, s.bundle.Signed)
	s.noteSaved()
	return err
}

// noteSaved tells Applied that the bundle in force is on disk, if it is; s.mu is held.
func (s *State) noteSaved() {
	if s.bundle != nil && !s.files.Waits(fileBundle) {
		s.saved.Store(&s.bundle.Position)
	}
}

// Close flushes and gives the lock back.
func (s *State) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.flush()
	if s.revoked != nil {
		err = errors.Join(err, s.revoked.Close())
	}
	return errors.Join(err, s.files.Close())
}
