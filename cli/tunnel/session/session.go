// Package session is a tunnel that a command holds open: it asks the local daemon for it, enrols
// it, follows its events, and takes it up again when the daemon was replaced or killed.
//
// What may not live here: what is printed, and which environment a tunnel serves. It imports the
// domain, local and cli/probe only; cli/tunnel imports it.
package session

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/cli/probe"
	"github.com/mezusphere/mezu/local"
)

const (
	// retryWithin bounds the pauses between two tries to take a tunnel up again.
	retryWithin = time.Second
	// giveUp is after how long without a daemon a command says so, and ends.
	giveUp = 30 * time.Second
)

// Config says what to open.
type Config struct {
	// Connect gives a client of the daemon, which it starts if need be.
	Connect func(context.Context) (*local.Client, error)
	Spec    local.Open
	// Fresh says that the environment is new: what the daemon has of one of that name is of no
	// use any more.
	Fresh bool
	// Token gives an enrolment token for the key with this hash.
	Token func(ctx context.Context, keyHash string) (string, error)
	// Running is Connect without starting a daemon, and Stopped reports whether somebody has
	// stopped the daemon since then, which no command undoes. Both may be nil.
	Running func(context.Context) (*local.Client, error)
	Stopped func(since time.Time) bool
	// Stays reports whether the tunnel is held over a stop too, because whoever holds it can
	// start it again. If nil, it isn't.
	Stays func() bool
	// Enrolled is told when the tunnel was enrolled again, after the first time. It may be nil.
	Enrolled func(mezu.Tunnel)
}

// Session is a tunnel that is open.
type Session struct {
	cfg Config

	// stream is one that follow has not taken yet. After Open only Run and Close have it.
	stream *local.Stream
	// renewed is when Run enrolled it again last.
	renewed time.Time
	// since is when it was opened, or taken up again last.
	since time.Time

	mu      sync.Mutex
	client  *local.Client
	now     mezu.Tunnel
	refused error         // why it could not be enrolled again
	changed chan struct{} // closed when now or refused changes
}

// daemon is the client of the daemon that there is now.
func (s *Session) daemon() *local.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client
}

// Open opens the tunnel and registers it, if it can't serve yet. Run follows it.
func Open(ctx context.Context, cfg Config) (*Session, error) {
	client, err := cfg.Connect(ctx)
	if err != nil {
		return nil, err
	}
	s := &Session{cfg: cfg, client: client, since: time.Now(), changed: make(chan struct{})}
	opened, err := client.Open(ctx, cfg.Spec)
	if err == nil && cfg.Fresh && opened.Warpgate != "" && opened.Attached == 0 {
		if err = client.Remove(ctx, opened.ID); err == nil {
			opened, err = client.Open(ctx, cfg.Spec)
		}
	}
	if err != nil {
		client.Close()
		return nil, err
	}
	s.now = opened.Tunnel
	if !cfg.Spec.Detached {
		// It lives only a moment without. The stream goes on when ctx has ended: the tunnel
		// then drains.
		if s.stream, err = client.Attach(context.WithoutCancel(ctx), opened.ID, ""); err != nil {
			client.Close()
			return nil, err
		}
	}
	if Unenrolled(&opened.Tunnel) {
		if err := s.enrol(ctx); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// Unenrolled reports whether a tunnel has no certificate that is good.
func Unenrolled(t *mezu.Tunnel) bool {
	return t.State == mezu.TunnelNeedsLogin || t.Warpgate == "" && t.State != mezu.TunnelStopped
}

func (s *Session) enrol(ctx context.Context) error {
	is := s.Tunnel()
	token, err := s.cfg.Token(ctx, is.PublicKeySHA256)
	if err != nil {
		return err
	}
	enrolled, err := s.daemon().Enrol(ctx, is.ID, token)
	if err != nil {
		return err
	}
	s.set(enrolled)
	return nil
}

// Tunnel is how it is now, as far as it is known.
func (s *Session) Tunnel() mezu.Tunnel {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *Session) set(t mezu.Tunnel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = t
	close(s.changed)
	s.changed = make(chan struct{})
}

// ErrClosed says that the tunnel was closed by somebody else: stopped, removed, or with the
// daemon.
var ErrClosed = errors.New("the tunnel was closed")

// Run follows the tunnel until ctx ends, or the tunnel does, which is ErrClosed. see is called
// with each event, by one goroutine at a time. A daemon that went away is started again.
func (s *Session) Run(ctx context.Context, see func(local.Event)) error {
	cursor := ""
	for {
		err := s.follow(ctx, &cursor, see)
		if ctx.Err() != nil || errors.Is(err, ErrClosed) {
			return err
		}
		if err := s.again(ctx, cursor); err != nil {
			return err
		}
	}
}

// follow reads one stream to its end.
func (s *Session) follow(ctx context.Context, cursor *string, see func(local.Event)) error {
	stream := s.stream
	if stream == nil {
		var err error
		if stream, err = s.daemon().Attach(ctx, s.Tunnel().ID, *cursor); err != nil {
			return err
		}
	}
	defer stream.Close()
	defer context.AfterFunc(ctx, stream.Close)()
	s.stream = nil
	for {
		e, err := stream.Next()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		if e.Cursor != "" {
			*cursor = e.Cursor
		}
		// A record from before the tunnel was enrolled is older than what is known.
		ask := e.Record != nil && e.Record.Warpgate == "" && s.Tunnel().Warpgate != ""
		if e.Event.Event == local.EventGap && e.TunnelID == "" {
			e.Tunnel = s.Tunnel().Name
			see(e)
			ask = true // records may be among what was missed
		}
		if ask {
			is, err := s.Refresh(ctx)
			if err != nil {
				continue // the stream tells of an end
			}
			e = local.Event{Event: mezu.Event{Event: local.EventTunnel, Time: e.Time, Tunnel: is.Name}, Cursor: e.Cursor, TunnelID: is.ID, Record: &is}
		}
		switch {
		case e.Event.Event == mezu.EventStopped && s.stays(ctx):
		case e.Event.Event == local.EventTunnel && e.Record == nil, e.Event.Event == mezu.EventStopped:
			see(e)
			return ErrClosed
		case e.Event.Event == local.EventTunnel:
			s.set(*e.Record)
			if e.Record.State == mezu.TunnelNeedsLogin {
				s.renew(ctx, see)
			}
		case e.Event.Event == local.EventStats && e.Stats != nil:
			s.mu.Lock()
			s.now.Stats = *e.Stats
			s.mu.Unlock()
		}
		see(e)
		if e.Record != nil && e.Record.State == mezu.TunnelStopped && !s.stays(ctx) {
			return ErrClosed
		}
	}
}

// stays reports whether a tunnel that was stopped is held, and still there.
func (s *Session) stays(ctx context.Context) bool {
	if s.cfg.Stays == nil || !s.cfg.Stays() {
		return false
	}
	_, err := s.Refresh(ctx)
	return err == nil
}

// renewEvery is how often at most a tunnel is enrolled again by a command that holds it.
const renewEvery = time.Minute

// renew enrols the tunnel again that was refused while this command holds it.
func (s *Session) renew(ctx context.Context, see func(local.Event)) {
	if time.Since(s.renewed) < renewEvery {
		return
	}
	if is, err := s.Refresh(ctx); err != nil || !Unenrolled(&is) {
		return // the event was older than what there is now
	}
	s.renewed = time.Now()
	err := s.EnrolAgain(ctx)
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	s.refused = err
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	if err != nil {
		e := mezu.Event{Event: mezu.EventError, Time: time.Now(), Tunnel: s.Tunnel().Name, Code: mezu.CodeOf(err), Message: "it could not be enrolled again: " + err.Error()}
		see(local.Event{Event: e})
	}
}

// again takes the tunnel up again at the daemon that there is now.
func (s *Session) again(ctx context.Context, cursor string) error {
	pause := backoff.Backoff{Last: retryWithin}
	late := time.Now().Add(giveUp)
	for {
		err := s.reopen(ctx, cursor)
		if err == nil || ctx.Err() != nil {
			return errors.Join(ctx.Err())
		}
		if errors.Is(err, ErrClosed) {
			return err
		}
		switch mezu.CodeOf(err) {
		case mezu.CodeConflict, mezu.CodeInvalid, mezu.CodeForbidden, mezu.CodeUnauthenticated:
			return err
		}
		if time.Now().After(late) {
			return err
		}
		if err := pause.Wait(ctx); err != nil {
			return err
		}
	}
}

func (s *Session) reopen(ctx context.Context, cursor string) error {
	if s.stopped(ctx) {
		return ErrClosed
	}
	began := time.Now()
	client, err := s.cfg.Connect(ctx)
	if err != nil {
		return err
	}
	if s.stopped(ctx) { // while it started
		client.Close()
		return ErrClosed
	}
	s.mu.Lock()
	was := s.client
	s.client = client
	s.mu.Unlock()
	was.Close()
	if s.stream, err = client.Attach(ctx, s.Tunnel().ID, cursor); err == nil {
		s.since = began
		return nil
	}
	if mezu.CodeOf(err) != mezu.CodeNotFound {
		return err
	}
	opened, err := client.Open(ctx, s.cfg.Spec)
	if err != nil {
		return err
	}
	if s.stream, err = client.Attach(ctx, opened.ID, ""); err != nil {
		return err
	}
	s.since = began
	s.set(opened.Tunnel)
	return s.EnrolAgain(ctx)
}

// stopped reports whether somebody has stopped the daemon since the tunnel was taken up. A daemon
// notes that before its socket closes: so it is looked at first whether one answers.
func (s *Session) stopped(ctx context.Context) bool {
	if s.cfg.Running == nil || s.cfg.Stopped == nil {
		return false
	}
	if client, err := s.cfg.Running(ctx); err == nil {
		client.Close()
	}
	return s.cfg.Stopped(s.since)
}

// EnrolAgain registers the tunnel anew if its certificate is not good any more.
func (s *Session) EnrolAgain(ctx context.Context) error {
	if is := s.Tunnel(); !Unenrolled(&is) {
		return nil
	}
	if err := s.enrol(ctx); err != nil {
		return err
	}
	if s.cfg.Enrolled != nil {
		s.cfg.Enrolled(s.Tunnel())
	}
	return nil
}

// LateError says that no request got through in time.
type LateError struct {
	URL   string
	Stage string // how far the last one got
	After time.Duration
	Cause error
}

// Error is the sentence about it.
func (e *LateError) Error() string {
	return e.URL + " does not answer yet: " + e.Stage + " (" + e.After.Round(time.Second).String() + ")"
}

// Unwrap gives why the last probe failed.
func (e *LateError) Unwrap() error { return e.Cause }

// Await waits until a request has gone from the public address to the tunnel and back. Run has to
// follow the tunnel meanwhile.
func (s *Session) Await(ctx context.Context, within time.Duration) error {
	waiting, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	late := &LateError{URL: s.Tunnel().URL, After: within, Stage: "the tunnel is not up"}
	err := s.awaitLive(waiting, late, within-min(within/4, lastLook))
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	}
	is := s.Tunnel()
	if is.URL == "" || is.State == mezu.TunnelNeedsLogin {
		return late
	}
	prober, err := proberOf(&is)
	if err != nil {
		return err
	}
	defer prober.Close()
	if _, err = prober.Await(waiting); err == nil && !live(&is) {
		// Another Warpgate answers.
		err = s.awaitLive(waiting, late, within)
		if is = s.Tunnel(); err == nil && !live(&is) {
			err = late
		}
		return cmp.Or(ctx.Err(), err)
	}
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	late.Stage, late.Cause = probe.Stage(err), err
	return late
}

// lastLook is how long before the end a request is sent although the tunnel is not up: its answer
// says more about what is wrong.
const lastLook = 2 * time.Second

func live(t *mezu.Tunnel) bool { return t.State == mezu.TunnelLive || t.State == mezu.TunnelPartly }

// awaitLive waits until the tunnel is up, or for so long. late learns how far it is.
func (s *Session) awaitLive(ctx context.Context, late *LateError, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		s.mu.Lock()
		is, changed, refused := s.now, s.changed, s.refused
		s.mu.Unlock()
		late.URL = is.URL
		if is.URL != "" && live(&is) {
			return nil
		}
		if refused != nil {
			return refused
		}
		if is.Detail != "" {
			late.Stage = is.Detail
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// proberOf makes what probes a tunnel's address: at the edge that it is connected to, if there is
// one.
func proberOf(t *mezu.Tunnel) (*probe.Prober, error) {
	roots, err := probe.Roots(t.CAFile)
	if err != nil {
		return nil, err
	}
	prober, err := probe.New(t.URL, roots, nil)
	if err != nil {
		return nil, err
	}
	at := ""
	for _, l := range t.Links {
		if at == "" || l.State == mezu.LinkConnected {
			at = l.Address
		}
	}
	prober.At(at)
	return prober, nil
}

// Held reports whether nobody else holds the tunnel: then it ends with this command.
func (s *Session) Held() bool {
	is := s.Tunnel()
	return !is.Detached && is.Attached <= 1
}

// Stop drains the tunnel and stops it. Requests in flight get so long.
func (s *Session) Stop(ctx context.Context, within time.Duration) error {
	is, err := s.daemon().Stop(ctx, s.Tunnel().ID, local.DrainFor(within))
	if err == nil {
		s.set(is)
	}
	if mezu.CodeOf(err) == mezu.CodeNotFound {
		return nil
	}
	return err
}

// Remove has the daemon forget the tunnel, with its key.
func (s *Session) Remove(ctx context.Context) error {
	err := s.daemon().Remove(ctx, s.Tunnel().ID)
	if mezu.CodeOf(err) == mezu.CodeNotFound {
		return nil
	}
	return err
}

// Refresh asks the daemon how the tunnel is.
func (s *Session) Refresh(ctx context.Context) (mezu.Tunnel, error) {
	is, err := s.daemon().Tunnel(ctx, s.Tunnel().ID)
	if err == nil {
		s.set(is)
	}
	return is, err
}

// Change changes the target of the tunnel.
func (s *Session) Change(ctx context.Context, patch local.TunnelPatch) error {
	is, err := s.daemon().Change(ctx, s.Tunnel().ID, patch)
	if err == nil {
		s.set(is)
	}
	return err
}

// Probe has the daemon connect to the workload.
func (s *Session) Probe(ctx context.Context) (local.Probe, error) {
	return s.daemon().Probe(ctx, s.Tunnel().ID)
}

// Close lets go of the tunnel, and of the daemon.
func (s *Session) Close() {
	if s.stream != nil {
		s.stream.Close()
	}
	s.daemon().Close()
}
