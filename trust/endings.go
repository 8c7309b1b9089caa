package trust

import (
	"time"

	"github.com/mezusphere/mezu"
)

// endings are the revocations in force, by kind and subject. What looking one up and adding
// one cost does not depend on how many there are: each lies in the bucket of the hour in
// which it ends, and those that have ended are taken out a few at a time.
type endings struct {
	kinds map[mezu.RevocationKind]*kindEndings
	swept int64 // up to this hour the buckets of all kinds are empty
}

// kindEndings are those of one kind.
type kindEndings struct {
	known map[string]ending
	// buckets are the subjects by the hour in which they end. A subject whose end was moved
	// lies in a bucket for each end that it had.
	buckets map[int64][]string
}

// ending is what is known of one subject, in nanoseconds of Unix time; notBefore is 0
// where there is none.
type ending struct{ notBefore, until int64 }

const (
	bucketSpan = int64(time.Hour)
	// sweepSteps is how many of those that have ended go with an addition: more than
	// one, so that they never pile up.
	sweepSteps = 8
)

// nanos is a moment as an ending keeps it. One that is too far in the future for that
// counts as for ever.
func nanos(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Year() > 2200:
		return 1<<63 - 1
	}
	return t.UnixNano()
}

// moment is what nanos was given.
func moment(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// add merges a revocation into what is known. It reports whether more is revoked than
// before, and how many steps that took.
func (e *endings) add(r *mezu.Revocation, now int64) (news bool, steps int) {
	if e.kinds == nil {
		e.kinds, e.swept = map[mezu.RevocationKind]*kindEndings{}, now/bucketSpan-1
	}
	steps = e.sweep(now)
	of := e.kinds[r.Kind]
	if of == nil {
		of = &kindEndings{map[string]ending{}, map[int64][]string{}}
		e.kinds[r.Kind] = of
	}
	was := of.known[r.Subject]
	is := ending{max(was.notBefore, nanos(r.NotBefore)), max(was.until, nanos(r.Until))}
	if is == was {
		return false, steps + 1
	}
	of.known[r.Subject] = is
	if is.until != was.until {
		hour := is.until / bucketSpan
		of.buckets[hour] = append(of.buckets[hour], r.Subject)
	}
	return true, steps + 1
}

// of is what is known of a subject, zero if nothing is.
func (e *endings) of(kind mezu.RevocationKind, id string) ending {
	if of := e.kinds[kind]; of != nil {
		return of.known[id]
	}
	return ending{}
}

// sweep takes out some of what has ended.
func (e *endings) sweep(now int64) (steps int) {
	for ; e.swept+1 < now/bucketSpan && steps < sweepSteps; steps++ {
		if !e.sweepOne(e.swept+1, now) {
			e.swept++
		}
	}
	return steps
}

// sweepOne takes one subject out of the buckets of an hour, or reports that they are empty.
func (e *endings) sweepOne(hour, now int64) bool {
	for _, of := range e.kinds {
		bucket := of.buckets[hour]
		if len(bucket) == 0 {
			delete(of.buckets, hour)
			continue
		}
		last := bucket[len(bucket)-1]
		of.buckets[hour] = bucket[:len(bucket)-1]
		if of.known[last].until <= now {
			delete(of.known, last)
		}
		return true
	}
	return false
}

// Revoke puts a revocation in force until r.Until. added is true if its subject was not
// revoked, or not for that long, or not up to so late a moment.
func (a *Anchor) Revoke(r *mezu.Revocation) (added bool) {
	now := a.now()
	if now.After(r.Until) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	added, _ = a.ended.add(r, now.UnixNano())
	return added
}

// ForgetEnded takes out all that have ended, a few at a time, so that others need not wait.
func (a *Anchor) ForgetEnded() {
	for steps := 1; steps > 0; {
		now := a.now().UnixNano()
		a.mu.Lock()
		steps = a.ended.sweep(now)
		a.mu.Unlock()
	}
}

// Forget takes out a revocation that a wider one in force makes superfluous.
func (a *Anchor) Forget(r *mezu.Revocation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if of := a.ended.kinds[r.Kind]; of != nil {
		delete(of.known, r.Subject)
	}
}

// Revoked is the revocation in force of a subject, if there is one. What the
// subject is depends on the kind; see mezu.RevocationKind.
func (a *Anchor) Revoked(kind mezu.RevocationKind, id string) (mezu.Revocation, bool) {
	a.mu.RLock()
	e := a.ended.of(kind, id)
	a.mu.RUnlock()
	if e.until == 0 || a.now().UnixNano() > e.until {
		return mezu.Revocation{}, false
	}
	return mezu.Revocation{Kind: kind, Subject: id, NotBefore: moment(e.notBefore), Until: moment(e.until)}, true
}

// Tells reports whether a revocation alone says all that is in force of its subject. It
// doesn't if it has ended, if later ones say more, or if a wider one says as much.
func (a *Anchor) Tells(r *mezu.Revocation) bool {
	now, known := a.Revoked(r.Kind, r.Subject)
	return known && !a.covered(r) && nanos(r.Until) == nanos(now.Until) && nanos(r.NotBefore) == nanos(now.NotBefore)
}

// covered reports whether a revocation of the user's directory says as much.
func (a *Anchor) covered(r *mezu.Revocation) bool {
	if !r.Kind.OfAccount() || r.Scope == "" {
		return false
	}
	wide, ok := a.Revoked(mezu.RevokeDirectory, r.Scope)
	return ok && !r.NotBefore.After(wide.NotBefore)
}

// Adds reports whether Revoke would change anything.
func (a *Anchor) Adds(r *mezu.Revocation) bool {
	if a.now().After(r.Until) || a.covered(r) {
		return false
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	e := a.ended.of(r.Kind, r.Subject)
	return nanos(r.Until) > e.until || nanos(r.NotBefore) > e.notBefore
}

// Revocations calls visit with each revocation that is in force at a moment, in no
// order, until it returns false. It must not call the anchor.
func (a *Anchor) Revocations(at time.Time, visit func(mezu.Revocation) bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for kind, of := range a.ended.kinds {
		for id, e := range of.known {
			if e.until > at.UnixNano() && !visit(mezu.Revocation{Kind: kind, Subject: id, NotBefore: moment(e.notBefore), Until: moment(e.until)}) {
				return
			}
		}
	}
}

// CertificateRevoked reports whether the certificate with this serial number, in
// the form of Serial, is revoked.
func (a *Anchor) CertificateRevoked(serial string) bool {
	_, revoked := a.Revoked(mezu.RevokeCertificate, serial)
	return revoked
}

// GrantRevoked reports whether a grant was ended before its time: by its session, its
// user, or all of its directory.
func (a *Anchor) GrantRevoked(g *mezu.Grant) bool {
	if _, ended := a.Revoked(mezu.RevokeSession, g.Session); ended {
		return true
	}
	if r, ended := a.Revoked(mezu.RevokeUser, g.User); ended && g.IssuedAt.Before(r.NotBefore) {
		return true
	}
	r, ended := a.Revoked(mezu.RevokeDirectory, g.Directory)
	return ended && g.IssuedAt.Before(r.NotBefore)
}
