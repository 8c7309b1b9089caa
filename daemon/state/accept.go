package state

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/trust"
)

// Accept verifies one signed statement, whichever edge relayed it, and puts it in force.
// changed is false for one that is in force already. A statement that does not verify, does
// not compile, is another environment's or is older changes nothing. If only writing it
// failed, changed is true, err is not nil, and Flush tries again. ErrRevoked says that the
// statement, which is in force now, revokes this Warpgate.
func (s *State) Accept(statement mezu.Signed) (changed bool, err error) {
	if s.anchor.Load() == nil || s.own.Load() == nil {
		return false, ErrUnregistered
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch statement.Purpose {
	case mezu.PurposeKeyset:
		if changed, err = s.anchor.Load().AcceptKeyset(statement); changed {
			err = s.saveKeyset()
		}
	case mezu.PurposeBundle:
		if changed, err = s.acceptBundle(statement); changed {
			err = s.saveBundle()
		}
	case mezu.PurposeEdges:
		if changed, err = s.acceptEdges(statement); changed {
			err = s.saveStatement(fileEdges, s.edges.Signed)
		}
	case mezu.PurposeAssertions:
		if changed, err = s.acceptAssertions(statement); changed {
			err = errors.Join(err, s.saveStatement(fileAssertions, statement))
		}
	case mezu.PurposeRevocation:
		changed, err = s.acceptRevocation(statement)
	default:
		err = fmt.Errorf("a statement %q is none that a Warpgate takes", statement.Purpose)
	}
	return changed, err
}

// saveKeyset writes the keyset in force; s.mu is held.
func (s *State) saveKeyset() error {
	keyset, _ := s.anchor.Load().Keyset()
	return s.saveStatement(fileKeyset, keyset)
}

// acceptBundle puts a bundle in force; s.mu is held or s is not shared yet.
func (s *State) acceptBundle(statement mezu.Signed) (bool, error) {
	b, known, err := s.anchor.Load().NextBundle(statement, s.bundleInForce)
	if known || errors.Is(err, trust.ErrConflict) {
		return false, nil // nothing replaces the one at the same position
	}
	if err != nil {
		return false, err
	}
	own := s.own.Load()
	if own == nil {
		return false, ErrUnregistered
	}
	if b.Environment != own.identity.Environment {
		return false, fmt.Errorf("%w: %s, not %s", ErrForeign, b.Environment, own.identity.Environment)
	}
	t, err := policy.Compile(b)
	if err != nil {
		return false, err
	}
	s.bundle = &trust.InForce{Signed: statement, Position: b.Position}
	s.table.Store(t)
	return true, nil
}

// bundleInForce is what a bundle of an environment would replace: nil if the environment is
// not this Warpgate's.
func (s *State) bundleInForce(environment string) *trust.InForce {
	if own := s.own.Load(); own == nil || own.identity.Environment != environment {
		return nil
	}
	return s.bundle
}

// acceptEdges puts a list of edges in force; s.mu is held or s is not shared
// yet.
func (s *State) acceptEdges(statement mezu.Signed) (bool, error) {
	l, known, err := s.anchor.Load().NextEdges(statement, s.edges)
	if known || errors.Is(err, trust.ErrConflict) {
		return false, nil // nothing replaces the one at the same position
	}
	if err != nil {
		return false, err
	}
	s.edges = &trust.InForce{Signed: statement, Position: l.Position}
	s.edgeList.Store(l)
	return true, nil
}

// acceptRevocation puts a revocation in force; s.mu is held. Flush writes it, because
// revocations come in bursts, but one of the own certificate is written at once.
func (s *State) acceptRevocation(statement mezu.Signed) (bool, error) {
	// Each edge tells all of them once. One that changes nothing need not be verified.
	var claim mezu.Revocation
	if err := json.Unmarshal(statement.Payload, &claim); err == nil && claim.Subject != "" && !s.anchor.Load().Adds(&claim) {
		return false, nil
	}
	added, err := s.judgeRevocation(s.anchor.Load(), statement)
	if err != nil || !added {
		return false, err
	}
	s.unflushed = true
	if s.Revoked() {
		return true, errors.Join(ErrRevoked, s.flushRevocations(s.anchor.Load()))
	}
	return true, nil
}

// judgeRevocation verifies a revocation and puts it in force. added is false for one that
// changes nothing, because it is known or has ended.
func (s *State) judgeRevocation(anchor *trust.Anchor, statement mezu.Signed) (added bool, err error) {
	r, err := anchor.OpenRevocation(statement)
	if err != nil {
		return false, err
	}
	added, err = s.revoked.Add(anchor, r, statement)
	if ended := s.ended.Load(); added && ended != nil {
		(*ended)(r)
	}
	return added, err
}

// OnRevocation has f called with each revocation that is put in force, when it is; nil ends
// that. The state directory is locked meanwhile, so f must neither wait nor call State.
func (s *State) OnRevocation(f func(*mezu.Revocation)) {
	if f == nil {
		s.ended.Store(nil)
		return
	}
	s.ended.Store(&f)
}

// Told is how far an edge has told of revocations.
func (s *State) Told(edge string) mezu.Told {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revoked == nil {
		return mezu.Told{}
	}
	return s.revoked.Noted(edge)
}

// NoteTold keeps how far an edge has told of revocations. It is about what this edge has to
// tell, and says nothing of other edges.
func (s *State) NoteTold(edge string, told mezu.Told) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revoked == nil {
		return ErrUnregistered
	}
	s.unflushed = true
	return s.revoked.Note(edge, told)
}

// Answer is what the control plane says to a registration or renewal.
type Answer = api.RegisterResponse

// Outcome is what became of the control plane's answer.
type Outcome struct {
	// Adopted: the certificate is this Warpgate's and in use.
	Adopted bool
	// Moved: the Warpgate or its environment is another one than before.
	Moved bool
}

// Register puts in force what the control plane answers to a registration or renewal. If the
// certificate is not this Warpgate's, everything stays as it was. If Adopted is true, an
// error is about another part of the answer, of which what was in force before stays, or
// about writing. settings are those of the registration. If nil, this is a renewal, and what
// the answer leaves out stays as it is. Key must have been called before.
func (s *State) Register(resp *Answer, settings *Registration) (Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The answer may have been asked for before the revocation came: the revocation
	// counts. This is checked before the revocations of the answer are in force, because
	// those name the certificate that the new one replaces.
	if s.Revoked() {
		return Outcome{}, ErrRevoked
	}
	anchor, err := s.pin(resp.TrustRoot)
	if err != nil {
		return Outcome{}, err
	}
	if _, err := anchor.AcceptKeyset(resp.Keyset); err != nil {
		return Outcome{}, fmt.Errorf("judging the keyset of the answer: %w", err)
	}
	for _, statement := range resp.Revocations {
		added, err := s.judgeRevocation(anchor, statement)
		if err != nil {
			return Outcome{}, fmt.Errorf("judging a revocation of the answer: %w", err)
		}
		if added {
			s.unflushed = true
		}
	}
	own, err := parseCertificate(anchor, s.key, []byte(resp.Certificates), s.now())
	switch {
	case own != nil && anchor.CertificateRevoked(own.serial):
		return Outcome{}, errors.Join(ErrRevoked, s.flushRevocations(anchor))
	case err != nil && own != nil:
		// It was issued a moment ago and isn't valid now, so the clock is wrong.
		return Outcome{}, ClockError(s.now(), own.issued(), err)
	case err != nil:
		return Outcome{}, fmt.Errorf("judging the certificate of the answer: %w", err)
	}
	before := s.own.Load()
	moved := before != nil && before.identity != own.identity
	if moved {
		// What is known is about another environment.
		s.table.Store(nil)
		s.saved.Store(&mezu.Position{})
		s.bundle, s.keys, s.listed = nil, nil, nil
		s.files.Forget(fileBundle)
		s.files.Forget(fileAssertions)
		if err := s.revoked.Unnote(); err != nil {
			return Outcome{}, err
		}
	}
	return Outcome{Adopted: true, Moved: moved}, s.adopt(anchor, own, resp, settings)
}

// pin returns the anchor of the trust root that an answer presents: a new one at
// the first registration, else the one in use, which must be of the same root.
func (s *State) pin(root []byte) (*trust.Anchor, error) {
	if len(root) != ed25519.PublicKeySize {
		return nil, errors.New("judging the trust root of the answer: it is no Ed25519 key")
	}
	if s.root == nil {
		anchor := trust.New(ed25519.PublicKey(bytes.Clone(root)), s.now)
		return anchor, s.openRevocations(anchor, true)
	}
	if !s.root.Equal(ed25519.PublicKey(root)) {
		return nil, &mezu.Error{Code: mezu.CodeForbidden,
			Detail: "the control plane presents another trust root than the one pinned at the first registration",
			Hint:   "if the installation was really set up anew, remove " + s.dir + " and start again; otherwise somebody is in between", Cause: ErrRoot}
	}
	return s.anchor.Load(), nil
}

// adopt puts in force and writes what was judged. The certificate is written last: after a
// restart without it the Warpgate registers again.
func (s *State) adopt(anchor *trust.Anchor, own *certificate, resp *Answer, settings *Registration) error {
	var errs []error
	if s.root == nil {
		s.root = anchor.Root()
		errs = append(errs, s.writeRoot(s.root))
	}
	s.anchor.Store(anchor)
	s.own.Store(own)
	errs = append(errs, s.saveKeyset(), s.flushRevocations(anchor))
	if settings != nil || len(resp.Bundle.Payload) != 0 {
		if changed, err := s.acceptBundle(resp.Bundle); changed {
			errs = append(errs, s.saveBundle())
		} else if err != nil {
			errs = append(errs, fmt.Errorf("judging the bundle of the answer: %w", err))
		}
	}
	if settings != nil || len(resp.Edges.Payload) != 0 {
		if changed, err := s.acceptEdges(resp.Edges); changed {
			errs = append(errs, s.saveStatement(fileEdges, s.edges.Signed))
		} else if err != nil {
			errs = append(errs, fmt.Errorf("judging the edges of the answer: %w", err))
		}
	}
	s.registration = s.nextRegistration(own, resp, settings)
	s.domain.Store(domainOf(s.registration))
	errs = append(errs, s.sign(), s.writeJSON(fileRegistration, s.registration), s.write(fileCertificate, []byte(resp.Certificates)))
	return errors.Join(errs...)
}

// nextRegistration is what to remember of an answer.
func (s *State) nextRegistration(own *certificate, resp *Answer, settings *Registration) *Registration {
	var r Registration
	if s.registration != nil {
		r = *s.registration
	}
	if settings != nil {
		r = *settings
	}
	r.Warpgate = own.identity.ID
	if resp.Environment != "" {
		r.Organization, r.Project, r.Environment, r.URL = resp.Organization, resp.Project, resp.Environment, resp.URL
	}
	return &r
}

// ClockError says that this machine's clock shows now at a moment that is
// really about actual.
func ClockError(now, actual time.Time, cause error) error {
	off, direction := now.Sub(actual), "ahead"
	if off < 0 {
		off, direction = -off, "behind"
	}
	return &mezu.Error{Code: mezu.CodeUnavailable,
		Detail: fmt.Sprintf("this machine's clock is %s %s: it shows %s, the control plane's %s", off.Round(time.Minute), direction,
			now.UTC().Format(time.RFC3339), actual.UTC().Format(time.RFC3339)),
		Hint: "set the clock, for instance with timedatectl set-ntp true", Cause: cause}
}
