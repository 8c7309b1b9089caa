package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// A restored control plane does not know what was revoked since its backup. Edges do: they
// have statements that this installation signed, and send them up. The control plane signs
// each anew in the present epoch, and does everything that it would have done when it revoked
// by itself.

const (
	// maxHanded bounds one statement's payload; a revocation takes about 400 bytes.
	maxHanded = 4 << 10
	// maxAltered is how many of one call may fail to verify. A few records of a bad disk
	// must not keep the others from being taken, but it is not worth verifying many that
	// somebody made up.
	maxAltered = 4
	// handedBatch is how many go into one transaction. Each takes an operation of its own,
	// and two for counters at most.
	handedBatch = 16
	// ofNobody stands for the organization of a directory that is not known here.
	ofNobody = "unknown"
)

// handed is a revocation that an edge sent up, and where it belongs here.
type handed struct {
	key string
	// organization is that of a user's directory.
	organization string
	revocation   mezu.Revocation
}

// TakeRevocations takes the revocations that an edge has and this control plane doesn't know.
func (s *Fleet) TakeRevocations(ctx context.Context, c access.Caller, in api.EdgeRevocations) (api.RevocationsTaken, error) {
	var out api.RevocationsTaken
	if _, err := access.Admit(api.OpEdgeRevocations, c); err != nil {
		return out, err
	}
	if n := len(in.Revocations); n == 0 || n > api.MaxEdgeRevocations {
		return out, mezu.Invalid("revocations", "1 to %d in one call", api.MaxEdgeRevocations)
	}
	altered := 0
	news := map[string]handed{} // by key
	for _, doc := range in.Revocations {
		h, verdict, err := s.judgeHanded(ctx, doc)
		if err != nil {
			return out, err
		}
		switch verdict {
		case handedAltered:
			out.Refused++
			if altered++; altered > maxAltered {
				return out, mezu.Invalid("revocations", "more than %d are no revocations, or their signatures do not verify", maxAltered)
			}
		case handedForeign:
			out.Refused++
		case handedNew:
			if was, twice := news[h.key]; twice {
				h.revocation = record.MergeRevocations(h.revocation, was.revocation)
			}
			news[h.key] = h
		}
	}
	if out.Refused > 0 {
		s.records.Log.Warn("an edge holds revocations that no key of the present keyset signed; they stay unknown here", "edge", c.ID, "refused", out.Refused)
	}
	out.Taken = len(news)
	return out, s.takeOver(ctx, c, news)
}

// handedVerdict is the judgement on one statement.
type handedVerdict int

const (
	// handedKnown: it is known here, or has ended.
	handedKnown handedVerdict = iota
	handedNew
	// handedForeign: no key of the present keyset signed it.
	handedForeign
	// handedAltered: its signature is wrong, or it is no revocation.
	handedAltered
)

// judgeHanded judges one statement. It first checks whether the revocation is known, which
// changes nothing, because verifying the signature takes most of the time.
func (s *Fleet) judgeHanded(ctx context.Context, doc mezu.Signed) (handed, handedVerdict, error) {
	var r mezu.Revocation
	if len(doc.Payload) > maxHanded || json.Unmarshal(doc.Payload, &r) != nil || !fitsKey(string(r.Kind)) || !fitsKey(r.Subject) || r.Scope != "" && !fitsKey(r.Scope) {
		return handed{}, handedAltered, nil
	}
	if !s.signsRevocations(doc.KeyID) {
		return handed{}, handedForeign, nil
	}
	if s.records.Now().After(r.Until) {
		return handed{}, handedKnown, nil
	}
	h, err := s.placeHanded(ctx, r)
	if err != nil {
		return h, handedKnown, err
	}
	if news, _, err := s.unknownHere(ctx, &h); err != nil || !news {
		return h, handedKnown, err
	}
	if _, err := s.Anchor.OpenRevocation(doc); err != nil {
		return h, handedAltered, nil
	}
	return h, handedNew, nil
}

// maxKeyPart bounds a part of a record's key; ids and serial numbers are shorter.
const maxKeyPart = 128

// fitsKey reports whether a text may be a part of a record's key.
func fitsKey(part string) bool {
	return part != "" && len(part) <= maxKeyPart && strings.IndexFunc(part, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) < 0
}

// signsRevocations reports whether a key of the present keyset is for revocations.
func (s *Fleet) signsRevocations(id string) bool {
	_, keyset := s.Anchor.Keyset()
	return slices.ContainsFunc(keyset.Keys, func(k mezu.PublicKey) bool {
		return k.ID == id && k.Purpose == mezu.PurposeRevocation && !s.records.Now().After(k.NotAfter)
	})
}

// placeHanded finds where a revocation belongs.
func (s *Fleet) placeHanded(ctx context.Context, r mezu.Revocation) (handed, error) {
	h := handed{revocation: r}
	var err error
	switch r.Kind {
	case mezu.RevokeCertificate:
		h.key = record.KeyRevocation(r.Kind, cmp.Or(r.Scope, ofEdges), r.Subject)
	case mezu.RevokeDirectory:
		h.organization, err = s.ownerOfDirectory(ctx, r.Subject)
		h.key = record.KeyRevocation(r.Kind, h.organization, r.Subject)
	case mezu.RevokeUser, mezu.RevokeSession:
		h.organization, err = s.ownerOfDirectory(ctx, r.Scope)
		h.key = record.KeyRevocation(r.Kind, h.organization, cmp.Or(r.Scope, ofNobody), r.Subject)
	default:
		h.key = record.KeyRevocation(r.Kind, cmp.Or(r.Scope, ofNobody), r.Subject)
	}
	return h, err
}

// ownerOfDirectory is the id of the organization of a directory, or ofNobody: a directory
// that was made after the backup is not there.
func (s *Fleet) ownerOfDirectory(ctx context.Context, directory string) (string, error) {
	owner := directory
	for mezu.ValidateID("", mezu.PrefixOrganization, owner) != nil {
		at, err := record.Optional[string](ctx, s.records, record.KeyID(owner))
		if err != nil {
			return "", err
		}
		path := strings.Split(at.Value, "/") // KIND/OWNER/NAME
		if len(path) != 3 || path[1] == owner {
			return ofNobody, nil
		}
		owner = path[1]
	}
	return owner, nil
}

// unknownHere reports whether a revocation ends something that has not been ended here, and
// makes it include what is known of its subject. another tells that nothing was known.
func (s *Fleet) unknownHere(ctx context.Context, h *handed) (news, another bool, err error) {
	r := &h.revocation
	was, err := record.Optional[record.StreamHead](ctx, s.records, h.key)
	if err != nil {
		return false, false, err
	}
	known := mezu.Revocation{NotBefore: was.Value.NotBefore, Until: was.Value.Until}
	if was.Revision != 0 && !r.NotBefore.After(known.NotBefore) && !r.Until.After(known.Until) {
		return false, false, nil
	}
	if r.Kind.OfAccount() {
		wide, err := record.Optional[record.StreamHead](ctx, s.records, record.KeyRevocation(mezu.RevokeDirectory, h.organization, cmp.Or(r.Scope, ofNobody)))
		if err != nil || wide.Revision != 0 && !r.NotBefore.After(wide.Value.NotBefore) {
			return false, false, err
		}
	}
	*r = record.MergeRevocations(*r, known)
	return true, was.Revision == 0, nil
}

// takeOver ends the peers whose certificates are revoked, each in a change of its own, and
// then adds the other revocations.
func (s *Fleet) takeOver(ctx context.Context, c access.Caller, news map[string]handed) error {
	serials := map[string]map[string]bool{} // by environment, which is empty for edges
	var all []handed
	for _, h := range news {
		all = append(all, h)
		if r := h.revocation; r.Kind == mezu.RevokeCertificate {
			if serials[r.Scope] == nil {
				serials[r.Scope] = map[string]bool{}
			}
			serials[r.Scope][r.Subject] = true
		}
	}
	for environment, of := range serials {
		var err error
		if environment == "" {
			err = s.endEdges(ctx, c, of)
		} else {
			err = s.endWarpgates(ctx, c, environment, of)
		}
		if err != nil {
			return err
		}
	}
	for batch := range slices.Chunk(all, handedBatch) {
		if err := s.addHanded(ctx, c, batch); err != nil {
			return err
		}
	}
	return nil
}

// endWarpgates revokes these certificates of Warpgates of an environment.
func (s *Fleet) endWarpgates(ctx context.Context, c access.Caller, environment string, serials map[string]bool) error {
	return record.Each(ctx, s.records, WarpgatesOf(environment), func(f record.Record[Warpgate]) error {
		if gone, _ := ended(f.Value.Certificates, serials); len(gone) == 0 {
			return nil
		}
		_, err := s.records.Publish(ctx, access.By(c, api.OpEdgeRevocations.ID), func(ch *record.Change) error {
			return s.endWarpgate(ctx, ch, f.Key, serials)
		})
		return err
	})
}

// endWarpgate revokes certificates of a Warpgate. If it has no others, it had been removed: it
// is shown as revoked and can't continue its registration. A Warpgate that renewed so often
// since the backup that none of the certificates known here is left looks the same, and is
// refused too.
func (s *Fleet) endWarpgate(ctx context.Context, ch *record.Change, key string, serials map[string]bool) error {
	f, err := record.Get[Warpgate](ctx, s.records, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	w := f.Value
	gone, kept := ended(w.Certificates, serials)
	if len(gone) == 0 {
		return nil
	}
	w.Meta = s.records.Touch(w.Meta, f.Revision)
	w.Certificates = kept
	if len(kept) > 0 {
		w.Serial = kept[len(kept)-1].Serial
	} else {
		w.Status = mezu.WarpgateRevoked
		for _, cert := range gone {
			if cert.NotAfter.After(w.RevokedUntil) {
				w.RevokedUntil = cert.NotAfter
			}
		}
	}
	if w.Status == mezu.WarpgateRevoked && w.Draining {
		w.Draining = false
		if _, err := s.NoteDraining(ctx, ch, w.Environment, w.ID, false); err != nil {
			return err
		}
	}
	if w.Status == mezu.WarpgateRevoked && len(w.AssertionKey) > 0 {
		markKeys(ch, w.Environment)
	}
	ch.Update(f.Key, f.Revision, w)
	ch.Audit(w.target(), f.Value.Warpgate, w.Warpgate)
	s.revoke(ch, w.Environment, gone)
	return nil
}

// endEdges revokes these certificates of edges.
func (s *Fleet) endEdges(ctx context.Context, c access.Caller, serials map[string]bool) error {
	var tasks []record.Task
	err := record.Each(ctx, s.records, prefixEdge, func(f record.Record[edge]) error {
		if gone, _ := ended(f.Value.Certificates, serials); len(gone) == 0 {
			return nil
		}
		var after *record.Task
		_, err := s.records.Publish(ctx, access.By(c, api.OpEdgeRevocations.ID), func(ch *record.Change) (err error) {
			after, err = s.endEdge(ctx, ch, f.Key, serials)
			return err
		})
		if err == nil && after != nil {
			tasks = append(tasks, *after)
		}
		return err
	})
	return errors.Join(err, s.records.FinishAll(ctx, tasks))
}

// endEdge revokes certificates of an edge, and removes the edge if it has no others.
func (s *Fleet) endEdge(ctx context.Context, ch *record.Change, key string, serials map[string]bool) (*record.Task, error) {
	f, err := record.Get[edge](ctx, s.records, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	gone, kept := ended(f.Value.Certificates, serials)
	switch {
	case len(gone) == 0:
		return nil, nil
	case len(kept) == 0:
		task, err := s.removeEdge(ctx, ch, f)
		return &task, err
	}
	e := f.Value
	e.Meta = s.records.Touch(e.Meta, f.Revision)
	e.Certificates, e.Serial = kept, kept[len(kept)-1].Serial
	ch.Update(f.Key, f.Revision, e)
	ch.Audit(record.About(record.KindEdge, e.ID, e.Name), f.Value.Edge, e.Edge)
	s.revoke(ch, "", gone)
	return nil, nil
}

// auditedRevocations is what the audit shows of revocations that an edge sent up.
type auditedRevocations struct {
	Revocations int `json:"revocations"`
}

// addHanded adds the revocations that are not known yet. No quota refuses them, because each
// was within its quota when it was made.
func (s *Fleet) addHanded(ctx context.Context, c access.Caller, batch []handed) error {
	_, err := s.records.Publish(ctx, access.By(c, api.OpEdgeRevocations.ID), func(ch *record.Change) error {
		n, accounts := 0, map[string]int{}
		for _, h := range batch {
			news, another, err := s.unknownHere(ctx, &h)
			if err != nil {
				return err
			}
			if !news {
				continue
			}
			n++
			if another && h.revocation.Kind.OfAccount() {
				accounts[record.KeyEnded(h.organization)]++
				accounts[record.KeyEnded(cmp.Or(h.revocation.Scope, ofNobody))]++
			}
			s.records.AddRevocation(ch, h.key, h.revocation)
		}
		for key, n := range accounts {
			was, err := record.Optional[int](ctx, s.records, key)
			if err != nil {
				return err
			}
			ch.Update(was.Key, was.Revision, was.Value+n)
		}
		if n > 0 {
			ch.Audit(record.About(record.KindEdge, c.ID, ""), nil, auditedRevocations{n})
		}
		return nil
	})
	return err
}
