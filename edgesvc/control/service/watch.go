package service

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// watchRecheck is how often the right to a stream is looked at; with the time of a
// check that leaves five seconds between its end and the stream's.
const watchRecheck = 2 * time.Second

// WatchSink takes the events of one watch of a collection. Its methods return an error
// when the other end is gone, and bound their own time.
type WatchSink interface {
	// Event sends one; an empty id is none.
	Event(kind api.WatchKind, id string, data any) error
	KeepAlive() error
	ender
}

// collection is what a caller may watch: the records under a prefix.
type collection[T, Out any] struct {
	prefix string
	// only is the one key that exists for this caller; if empty, all do.
	only string
	show func(context.Context, found[T]) (Out, error)
	// same, if set, reports whether what was sent of a record need not be sent again.
	same func(was, is Out) bool
	// presence, if set, is what show reads besides the record.
	presence *presence
}

func (w collection[T, Out]) has(key string) bool { return w.only == "" || w.only == key }

// watch sends a collection as it is and then as it changes, until ctx ends, the sink
// fails, or enter says that the caller may not watch it any more. With the id of an
// event it goes on after that event, without a gap, if the store still knows what came
// since; else it says so and begins anew.
func watch[T, Out any](ctx context.Context, s *Service, c Caller, last string, sink WatchSink, enter func(context.Context, Caller) (collection[T, Out], error)) error {
	w, err := enter(ctx, c)
	if err != nil {
		return err
	}
	f := &follower[T, Out]{s: s, caller: c, sink: sink, of: w, enter: enter, sent: map[string]Out{}}
	return guarded(ctx, sink, f.allowed, func(ctx context.Context) error { return f.run(ctx, last) })
}

// follower is one running watch.
type follower[T, Out any] struct {
	s      *Service
	caller Caller
	sink   WatchSink
	of     collection[T, Out]
	enter  func(context.Context, Caller) (collection[T, Out], error)
	sent   map[string]Out // by key, if of.same is set
}

// run sends what came since the event last, or all, and then changes.
func (f *follower[T, Out]) run(ctx context.Context, last string) error {
	s, prefix := f.s, f.of.prefix
	var watcher store.Watcher
	if last != "" {
		from, err := s.openWatchID(prefix, last)
		if err != nil {
			return err
		}
		watcher, err = s.store.Watch(ctx, prefix, from)
		switch {
		case errors.Is(err, store.ErrCompacted):
			if err := f.sink.Event(api.WatchReset, "", struct{}{}); err != nil {
				return err
			}
		case err != nil:
			return err
		}
	}
	if watcher == nil {
		from, err := f.snapshot(ctx)
		if err != nil {
			return err
		}
		if watcher, err = s.store.Watch(ctx, prefix, from); err != nil {
			return err
		}
		if err := f.sink.Event(api.WatchSynced, s.sealWatchID(prefix, from), struct{}{}); err != nil {
			return err
		}
	} else {
		if err := f.sink.KeepAlive(); err != nil { // the head of the answer
			return err
		}
		// Presence has no history: what changed of it meanwhile is what is sent now.
		f.of.presence.missed()
	}
	return f.follow(ctx, watcher)
}

// snapshot sends all records and gives the position from which to watch.
func (f *follower[T, Out]) snapshot(ctx context.Context) (store.Position, error) {
	var from store.Position
	for token := ""; ; {
		page, err := f.s.store.List(ctx, f.of.prefix, token, store.MaxPage)
		if err != nil {
			return "", err
		}
		if from == "" {
			from = page.Position
		}
		for _, r := range page.Records {
			if err := f.put(ctx, r, ""); err != nil {
				return "", err
			}
		}
		if token = page.Next; token == "" {
			return from, nil
		}
		if err := f.allowed(ctx); err != nil {
			return "", err
		}
	}
}

func (f *follower[T, Out]) put(ctx context.Context, r store.Record, id string) error {
	if !f.of.has(r.Key) {
		return nil
	}
	rec, err := decode[T](r)
	if err != nil {
		return err
	}
	out, err := f.of.show(ctx, rec)
	if err != nil {
		return err
	}
	if f.of.same != nil {
		if was, ok := f.sent[r.Key]; ok && f.of.same(was, out) {
			return nil
		}
		f.sent[r.Key] = out
	}
	return f.sink.Event(api.WatchPut, id, out)
}

// again sends of the records that presence concerns what is shown otherwise now.
func (f *follower[T, Out]) again(ctx context.Context) error {
	items, all := f.of.presence.changed()
	// What is not known is another collection's, or its record comes yet.
	items = slices.DeleteFunc(items, func(item string) bool { _, known := f.sent[f.of.prefix+item]; return !known })
	if len(items) == 0 && !all {
		return nil
	}
	if err := f.allowed(ctx); err != nil {
		return err
	}
	if all {
		_, err := f.snapshot(ctx)
		return err
	}
	for _, item := range items {
		r, err := f.s.store.Get(ctx, f.of.prefix+item)
		if errors.Is(err, store.ErrNotFound) {
			continue // the event of its deletion comes
		}
		if err == nil {
			err = f.put(ctx, r, "")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// follow sends changes as they are committed.
func (f *follower[T, Out]) follow(ctx context.Context, watcher store.Watcher) error {
	alive := time.NewTicker(api.StreamKeepAlive)
	defer alive.Stop()
	for {
		select {
		case event, ok := <-watcher.Events():
			if !ok {
				return store.Ended(ctx, watcher)
			}
			if err := f.pass(ctx, event); err != nil {
				return err
			}
		case event, ok := <-f.of.presence.ofWarpgates():
			if !ok {
				return store.Ended(ctx, f.of.presence.held)
			}
			f.of.presence.noteWarpgates(event)
		case event, ok := <-f.of.presence.ofEdges():
			if !ok {
				return store.Ended(ctx, f.of.presence.edges)
			}
			f.of.presence.noteEdges(event)
		case <-f.of.presence.due():
			if err := f.again(ctx); err != nil {
				return err
			}
		case <-alive.C:
			if err := f.sink.KeepAlive(); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pass sends one commit. Only its last change moves the id, so that who resumes gets
// the commit whole.
func (f *follower[T, Out]) pass(ctx context.Context, event store.Event) error {
	if err := f.allowed(ctx); err != nil {
		return err
	}
	for i, ch := range event.Changes {
		id := ""
		if i == len(event.Changes)-1 {
			id = f.s.sealWatchID(f.of.prefix, event.Position)
		}
		if !ch.Deleted {
			if err := f.put(ctx, ch.Record, id); err != nil {
				return err
			}
			continue
		}
		if !f.of.has(ch.Key) {
			continue
		}
		delete(f.sent, ch.Key)
		if err := f.sink.Event(api.WatchDelete, id, api.WatchDeleted{Key: ch.Key[len(f.of.prefix):], Revision: ch.Revision}); err != nil {
			return err
		}
	}
	return nil
}

// allowed identifies the caller anew and enters anew: a watch ends with the right to
// it.
func (f *follower[T, Out]) allowed(ctx context.Context) error {
	c, err := f.s.identify(ctx, f.caller.presented)
	if err != nil {
		return err
	}
	now, err := f.enter(ctx, c)
	if err != nil {
		return err
	}
	if now.prefix != f.of.prefix || now.only != f.of.only {
		return mezu.Errorf(mezu.CodeNotFound, "what was watched is another record now")
	}
	return nil
}

// The id of an event is the store's position, sealed: it means nothing to a client,
// can't be made up, and belongs to one collection.

func (s *Service) watchCipher() cipher.AEAD {
	block, err := aes.NewCipher(s.store.Derive("watch ids"))
	if err != nil {
		panic(err) // a derived key has 32 bytes
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // AES has the block size of GCM
	}
	return aead
}

func (s *Service) sealWatchID(prefix string, at store.Position) string {
	return base64.RawURLEncoding.EncodeToString(s.watchCipher().Seal(nil, nil, []byte(at), []byte(prefix)))
}

// maxWatchID bounds an id: positions have some dozens of characters.
const maxWatchID = 512

func (s *Service) openWatchID(prefix, id string) (store.Position, error) {
	if len(id) <= maxWatchID {
		if sealed, err := base64.RawURLEncoding.DecodeString(id); err == nil {
			if at, err := s.watchCipher().Open(nil, nil, sealed, []byte(prefix)); err == nil {
				return store.Position(at), nil
			}
		}
	}
	return "", mezu.Invalid("Last-Event-ID", "is the id of an event of this watch")
}

// plain shows a record as it is kept.
func plain[T any](_ context.Context, f found[T]) (T, error) { return f.Value, nil }

// WatchProjects watches an organization's projects; a service account, its own.
func (s *Service) WatchProjects(ctx context.Context, c Caller, p Place, last string, sink WatchSink) error {
	return watch(ctx, s, c, last, sink, func(ctx context.Context, c Caller) (w collection[mezu.Project, mezu.Project], err error) {
		sc, err := s.inOrganization(ctx, c, api.OpWatchProjects, p)
		if err != nil {
			return w, err
		}
		w = collection[mezu.Project, mezu.Project]{prefix: projectsOf(sc.organization.Value.ID), show: plain[mezu.Project]}
		if c.Kind == ServiceAccount {
			own, err := byID[mezu.Project](ctx, s, c.Project)
			if err != nil {
				return w, orUnknownKey(err)
			}
			w.only = own.Key
		}
		return w, nil
	})
}

// WatchEnvironments watches a project's environments.
func (s *Service) WatchEnvironments(ctx context.Context, c Caller, p Place, last string, sink WatchSink) error {
	return watch(ctx, s, c, last, sink, func(ctx context.Context, c Caller) (w collection[mezu.Environment, mezu.Environment], err error) {
		sc, err := s.inProject(ctx, c, api.OpWatchEnvironments, p)
		show := func(_ context.Context, f found[mezu.Environment]) (mezu.Environment, error) {
			return s.shown(f.Value), nil
		}
		return collection[mezu.Environment, mezu.Environment]{prefix: environmentsOf(sc.project.Value.ID), show: show}, err
	})
}

// WatchRoutes watches an environment's routes, which change as one.
func (s *Service) WatchRoutes(ctx context.Context, c Caller, p Place, last string, sink WatchSink) error {
	return watch(ctx, s, c, last, sink, func(ctx context.Context, c Caller) (w collection[routesHead, api.RoutesState], err error) {
		sc, err := s.inEnvironment(ctx, c, api.OpWatchRoutes, p)
		env := sc.environment.Value
		show := func(ctx context.Context, _ found[routesHead]) (api.RoutesState, error) {
			head, routes, err := s.routes(ctx, env.ID)
			if err != nil {
				return api.RoutesState{}, err
			}
			return s.routesState(ctx, env, head.Revision, routes, mezu.Warnings(ctx, routes))
		}
		return collection[routesHead, api.RoutesState]{prefix: keyRoutes(env.ID), show: show}, err
	})
}

// WatchServiceAccounts watches a project's service accounts.
func (s *Service) WatchServiceAccounts(ctx context.Context, c Caller, p Place, last string, sink WatchSink) error {
	return watch(ctx, s, c, last, sink, func(ctx context.Context, c Caller) (w collection[account, mezu.ServiceAccount], err error) {
		sc, err := s.inProject(ctx, c, api.OpWatchServiceAccounts, p)
		show := func(ctx context.Context, f found[account]) (mezu.ServiceAccount, error) {
			return s.shownAccount(ctx, f.Value)
		}
		return collection[account, mezu.ServiceAccount]{prefix: accountsOf(sc.project.Value.ID), show: show}, err
	})
}

// WatchMembers watches an organization's members.
func (s *Service) WatchMembers(ctx context.Context, c Caller, p Place, last string, sink WatchSink) error {
	return watch(ctx, s, c, last, sink, func(ctx context.Context, c Caller) (w collection[mezu.Member, mezu.Member], err error) {
		sc, err := s.inOrganization(ctx, c, api.OpWatchMembers, p)
		show := func(ctx context.Context, f found[mezu.Member]) (mezu.Member, error) {
			return s.shownMember(ctx, f.Value)
		}
		return collection[mezu.Member, mezu.Member]{prefix: membersOf(sc.organization.Value.ID), show: show}, err
	})
}

// WatchDirectories watches the directories of a project, or of an organization.
func (s *Service) WatchDirectories(ctx context.Context, c Caller, p Place, last string, sink WatchSink) error {
	return watch(ctx, s, c, last, sink, func(ctx context.Context, c Caller) (w collection[mezu.Directory, mezu.Directory], err error) {
		sc, err := s.inOwner(ctx, c, p.either(api.OpWatchDirectories, api.OpWatchOrganizationDirectories), p)
		return collection[mezu.Directory, mezu.Directory]{prefix: directoriesOf(sc.owner), show: plain[mezu.Directory]}, err
	})
}

// WatchUsers watches the users of a directory. A login is a change of the user.
func (s *Service) WatchUsers(ctx context.Context, c Caller, p Place, last string, sink WatchSink) error {
	return watch(ctx, s, c, last, sink, func(ctx context.Context, c Caller) (w collection[user, mezu.User], err error) {
		sc, err := s.inDirectory(ctx, c, p.either(api.OpWatchUsers, api.OpWatchOrganizationUsers), p)
		show := func(ctx context.Context, f found[user]) (mezu.User, error) {
			return s.shownUser(ctx, sc, projectNames{}, f.Value)
		}
		return collection[user, mezu.User]{prefix: usersOf(sc.directory.Value.ID), show: show}, err
	})
}

// WatchWarpgates watches an environment's Warpgates with their status. That one is still
// there, or has a new time at which it was seen, is no event.
func (s *Service) WatchWarpgates(ctx context.Context, c Caller, p Place, last string, sink WatchSink) error {
	if _, err := s.inEnvironment(ctx, c, api.OpWatchWarpgates, p); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the watches of presence
	live, err := s.watchPresence(ctx)
	if err != nil {
		return err
	}
	return watch(ctx, s, c, last, sink, func(ctx context.Context, c Caller) (w collection[warpgate, mezu.Warpgate], err error) {
		sc, err := s.inEnvironment(ctx, c, api.OpWatchWarpgates, p)
		show := func(ctx context.Context, f found[warpgate]) (mezu.Warpgate, error) {
			return s.shownWarpgate(ctx, f.Value.Warpgate, live.live)
		}
		return collection[warpgate, mezu.Warpgate]{prefix: warpgatesOf(sc.environment.Value.ID), show: show, same: sameWarpgate, presence: live}, err
	})
}

// sameWarpgate reports whether a Warpgate is as it was sent, but for when it was seen
// last, or in an earlier state of its record: presence is read ahead of changes.
func sameWarpgate(was, is mezu.Warpgate) bool {
	if is.Revision != was.Revision {
		return is.Revision < was.Revision
	}
	was.LastSeenAt, is.LastSeenAt = time.Time{}, time.Time{}
	return reflect.DeepEqual(was, is)
}
