// Package logout ends sessions at an edge while the control plane can't be reached, and
// tells it later.
//
// What lives here: which sessions these are, on disk until the control plane knows, and in
// memory until they would have ended anyway. What may not: cookies and pages, and
// revocations, by which all edges learn of a session's end. edgesvc/edge alone imports it.
package logout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/trust/statedir"
)

const (
	// maxLeft is how many sessions an edge ends by itself. Nobody can log in meanwhile, so
	// they only become fewer, and each takes 3 KiB.
	maxLeft = 10_000
	// passTimeout bounds a call that passes some on.
	passTimeout = 10 * time.Second
	// tidyInterval is how often those are forgotten that have ended anyway.
	tidyInterval = time.Minute
)

// Folder is the one in the state directory that is a Logouts' own.
const Folder = "logouts"

// Config is what Logouts are made of. All of it is required.
type Config struct {
	// Dir is the folder for them, which is this process's alone.
	Dir string
	// Client calls the control plane as the edge that has enrolled; nil before.
	Client func() *api.Client
	Log    *slog.Logger
	Now    func() time.Time
}

// Logouts are the sessions that this edge has ended. It is safe for concurrent use.
type Logouts struct {
	cfg  Config
	dir  *statedir.Dir
	wake chan struct{}
	any  atomic.Bool // there are some

	leaving sync.Mutex // held until a session is on disk and in left

	mu   sync.RWMutex
	left map[string]left // by session
}

// left is a session that was ended, as it is on the disk.
type left struct {
	Grant string    `json:"grant"` // in compact form
	Until time.Time `json:"until"` // its end otherwise
	told  bool      // the control plane knows
}

// Open reads those of an earlier process. The error is a *mezu.Error for whoever started the
// program.
func Open(cfg Config) (*Logouts, error) {
	dir, err := statedir.Open(statedir.Config{Path: cfg.Dir, Owner: "edge", Suffix: ".rejected", Log: cfg.Log})
	if err != nil {
		return nil, err
	}
	l := &Logouts{cfg: cfg, dir: dir, wake: make(chan struct{}, 1), left: map[string]left{}}
	if err := l.load(); err != nil {
		return nil, errors.Join(dir.Unusable(err), dir.Close())
	}
	return l, nil
}

// Close gives the folder back. Call it after Run has returned; it is idempotent.
func (l *Logouts) Close() error { return l.dir.Close() }

func fileOf(session string) string { return session + ".json" }

func (l *Logouts) load() error {
	entries, err := os.ReadDir(l.dir.Path("."))
	if err != nil {
		return err
	}
	for _, e := range entries {
		session, ok := strings.CutSuffix(filepath.Base(e.Name()), ".json")
		if !ok || len(l.left) >= maxLeft {
			continue
		}
		var one left
		err := l.dir.ReadJSON(e.Name(), &one)
		if err == nil {
			err = mezu.ValidateID("session", mezu.PrefixSession, session)
		}
		if err == nil && len(one.Grant) > mezu.MaxGrantText {
			err = errors.New("its grant is too long")
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			l.dir.Reject(e.Name(), err)
		default:
			l.left[session] = one
		}
	}
	l.any.Store(len(l.left) > 0)
	l.poke()
	return nil
}

func (l *Logouts) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Leave ends a session of which this is the grant. It is on the disk when that returns,
// unless the disk fails; then it is ended nevertheless, and the log says so.
func (l *Logouts) Leave(g *mezu.Grant, compact []byte) error {
	l.leaving.Lock()
	defer l.leaving.Unlock()
	l.mu.RLock()
	_, known := l.left[g.Session]
	full := len(l.left) >= maxLeft
	l.mu.RUnlock()
	switch {
	case known:
		return nil
	case full:
		return &mezu.Error{Code: mezu.CodeUnavailable, Detail: "nobody can be logged out for the moment"}
	}
	one := left{Grant: string(compact), Until: g.NotAfter}
	data, err := json.Marshal(one)
	if err == nil {
		err = l.dir.Write(fileOf(g.Session), data)
	}
	if err != nil {
		l.cfg.Log.Error("a session that was ended here is not on disk: after a restart it goes on until the control plane is back", "session", g.Session, "error", err)
	}
	l.mu.Lock()
	l.left[g.Session] = one
	l.any.Store(true)
	l.mu.Unlock()
	l.poke()
	return nil
}

// Left reports whether a session was ended here.
func (l *Logouts) Left(session string) bool {
	if !l.any.Load() {
		return false
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	_, ended := l.left[session]
	return ended
}

// Untold is how many of them the control plane does not know.
func (l *Logouts) Untold() (n int) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, one := range l.left {
		if !one.told {
			n++
		}
	}
	return n
}

// Run tells the control plane, as soon as it can be reached, until ctx ends.
func (l *Logouts) Run(ctx context.Context) {
	tidy := time.NewTicker(tidyInterval)
	defer tidy.Stop()
	var trouble backoff.Hourly
	var again backoff.Backoff
	for {
		select {
		case <-ctx.Done():
			return
		case <-tidy.C:
			l.forget()
			continue
		case <-l.wake:
		}
		for ctx.Err() == nil {
			more, err := l.pass(ctx)
			if err == nil {
				again, trouble = backoff.Backoff{}, backoff.Hourly{}
				if !more {
					break
				}
				continue
			}
			if ctx.Err() == nil && trouble.Due() {
				l.cfg.Log.Warn("telling the control plane of sessions that ended here; trying again", "error", err)
			}
			again.Because(err)
			if backoff.Sleep(ctx, again.Next()) != nil {
				return
			}
			l.forget()
		}
	}
}

// pass tells of some that were not told yet, and reports whether there may be more.
func (l *Logouts) pass(ctx context.Context) (more bool, err error) {
	var sessions []string
	var body api.EdgeLogouts
	l.mu.RLock()
	for session, one := range l.left {
		if !one.told && len(sessions) < api.MaxEdgeLogouts {
			sessions, body.Grants = append(sessions, session), append(body.Grants, one.Grant)
		}
	}
	l.mu.RUnlock()
	if len(sessions) == 0 {
		return false, nil
	}
	client := l.cfg.Client()
	if client == nil {
		return false, errors.New("this edge has not enrolled yet")
	}
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	if err := client.Do(ctx, api.Call{Operation: api.OpEdgeLogout, Body: body, Safe: true, Timeout: passTimeout}, nil); err != nil {
		return false, fmt.Errorf("passing on %d sessions: %w", len(sessions), err)
	}
	// They stay in memory: the revocations are on their way still.
	for _, session := range sessions {
		l.mu.Lock()
		one := l.left[session]
		one.told, one.Grant = true, ""
		l.left[session] = one
		l.mu.Unlock()
		if err := l.dir.Remove(fileOf(session)); err != nil {
			l.cfg.Log.Warn("a session that was ended here stays on disk, although the control plane knows of it", "session", session, "error", err)
		}
	}
	return true, nil
}

// forget forgets those that have ended anyway.
func (l *Logouts) forget() {
	now := l.cfg.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for session, one := range l.left {
		if !now.After(one.Until) {
			continue
		}
		delete(l.left, session)
		if !one.told {
			if err := l.dir.Remove(fileOf(session)); err != nil {
				l.cfg.Log.Warn("a session that was ended here and is over stays on disk", "session", session, "error", err)
			}
		}
	}
	l.any.Store(len(l.left) > 0)
}
