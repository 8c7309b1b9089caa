package fleet

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// maxCertificates is how many certificates of one peer may be valid at a time. It fits a
// renewal a day over a life of a week, and some restarts. Above it the oldest are revoked.
const maxCertificates = 16

// Certificate is a certificate that was issued and may still be valid.
type Certificate struct {
	Serial   string    `json:"serial"`
	NotAfter time.Time `json:"not_after"`
	// Epoch is the epoch in which it was issued; zero if an earlier version issued it.
	Epoch uint64 `json:"epoch,omitempty"`
	// From is the certificate of an earlier epoch from which it came by renewals; empty if
	// there is none. An edge may still tell that that one was revoked before a restore.
	// Then this one ends too.
	From string `json:"from,omitempty"`
}

// issued is a certificate that was issued now, by the renewal of the certificate with the
// serial number by, or by a key or token if that is empty.
func (s *Fleet) issued(live []Certificate, is ca.Issued, by string) Certificate {
	out := Certificate{Serial: is.Serial, NotAfter: is.NotAfter, Epoch: s.records.Epoch}
	for _, c := range live {
		switch {
		case c.Serial != by:
		case c.Epoch < s.records.Epoch:
			out.From = c.Serial
		default:
			out.From = c.From
		}
	}
	return out
}

// Warpgate is a Warpgate as it is stored. What edges report of it is in other records.
type Warpgate struct {
	mezu.Warpgate
	// Organization and Project are ids.
	Organization string `json:"organization"`
	Project      string `json:"project"`
	KeySHA256    string `json:"key_sha256"`
	// AssertionKey is the one by which it signs what it tells its workload of users, nil if
	// it never gave one.
	AssertionKey ed25519.PublicKey `json:"assertion_key,omitempty"`
	Certificates []Certificate     `json:"certificates"`
	// RevokedUntil is when the last certificate of a revoked one would have ended.
	RevokedUntil time.Time `json:"revoked_until,omitzero"`
	// Said is where it says that it sends requests; nil if it never said so.
	Said *said `json:"said,omitempty"`
}

// target is the Warpgate in an audit record.
func (w Warpgate) target() record.Target {
	t := record.About(record.KindWarpgate, w.ID, "")
	t.Organization, t.Project = w.Organization, w.Project
	return t
}

// renewed adds a new certificate to the valid ones, and gives those to revoke because of it:
// the oldest, except any from which another one came.
func renewed(live []Certificate, next Certificate, now time.Time) (kept, over []Certificate) {
	kept = slices.DeleteFunc(slices.Clone(live), func(c Certificate) bool { return now.After(c.NotAfter) })
	kept = append(kept, next)
	for i := 0; len(kept) > maxCertificates && i < len(kept)-1; {
		if slices.ContainsFunc(kept, func(c Certificate) bool { return c.From == kept[i].Serial }) {
			i++
			continue
		}
		over = append(over, kept[i])
		kept = slices.Delete(kept, i, i+1)
	}
	return kept, over
}

// ended splits certificates into those that are revoked and the others. A certificate is
// revoked with its own serial number, or with that of the certificate that it came from.
func ended(live []Certificate, serials map[string]bool) (gone, kept []Certificate) {
	over := maps.Clone(serials)
	for _, c := range live { // each comes after the one that it came from
		if over[c.Serial] || c.From != "" && over[c.From] {
			over[c.Serial] = true
			gone = append(gone, c)
		} else {
			kept = append(kept, c)
		}
	}
	return gone, kept
}

// keyHash is SHA-256 of the SubjectPublicKeyInfo of a request, in hexadecimal.
// It doesn't check the request; the authority does.
func keyHash(csr string) string {
	block, _ := pem.Decode([]byte(csr))
	if block == nil {
		return ""
	}
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(req.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// ListWarpgates lists the Warpgates of an environment with their status.
func (s *Fleet) ListWarpgates(ctx context.Context, c access.Caller, p access.Path, page record.Paging) (api.List[mezu.Warpgate], error) {
	sc, err := s.access.InEnvironment(ctx, c, api.OpListWarpgates, p)
	if err != nil {
		return api.List[mezu.Warpgate]{}, err
	}
	live, err := s.LiveEdges(ctx)
	if err != nil {
		return api.List[mezu.Warpgate]{}, err
	}
	return record.List(ctx, s.records, WarpgatesOf(sc.Environment.Value.ID), page, func(f record.Record[Warpgate]) (mezu.Warpgate, error) {
		return s.ShownWarpgate(ctx, f.Value, live)
	})
}

// GetWarpgate reads one with its status.
func (s *Fleet) GetWarpgate(ctx context.Context, c access.Caller, p access.Path) (mezu.Warpgate, error) {
	sc, err := s.access.InEnvironment(ctx, c, api.OpGetWarpgate, p)
	if err != nil {
		return mezu.Warpgate{}, err
	}
	f, err := record.Child[Warpgate](ctx, s.records, WarpgatesOf(sc.Environment.Value.ID), p.Item, "Warpgate", "")
	if err != nil {
		return mezu.Warpgate{}, err
	}
	live, err := s.LiveEdges(ctx)
	if err != nil {
		return mezu.Warpgate{}, err
	}
	return s.ShownWarpgate(ctx, f.Value, live)
}

// DeleteWarpgate removes a Warpgate and revokes its certificates.
func (s *Fleet) DeleteWarpgate(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64) error {
	sc, err := s.access.InEnvironment(ctx, c, api.OpDeleteWarpgate, p)
	if err != nil {
		return err
	}
	environment := sc.Environment.Value.ID
	f, err := record.Child[Warpgate](ctx, s.records, WarpgatesOf(environment), p.Item, "Warpgate", "")
	if err != nil {
		return err
	}
	return s.removeWarpgate(ctx, access.By(c, api.OpDeleteWarpgate.ID), environment, f.Value.ID, ifMatch)
}

// removeWarpgate removes a Warpgate if its revision is ifMatch, or any if that is zero. It is
// no error if the Warpgate is gone.
func (s *Fleet) removeWarpgate(ctx context.Context, a record.Author, environment, id string, ifMatch uint64) error {
	_, err := s.records.Publish(ctx, a, func(ch *record.Change) error {
		f, err := record.Get[Warpgate](ctx, s.records, WarpgatesOf(environment)+id)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := record.CheckRevision(ifMatch, f.Revision); err != nil {
			return err
		}
		ch.Remove(f.Key, f.Revision)
		ch.Drop(record.KeyID(id))
		if len(f.Value.AssertionKey) > 0 {
			markKeys(ch, environment)
		}
		if f.Value.Draining {
			if _, err := s.NoteDraining(ctx, ch, environment, id, false); err != nil {
				return err
			}
		}
		ch.Audit(f.Value.target(), f.Value.Warpgate, nil)
		s.revoke(ch, environment, f.Value.Certificates)
		return nil
	})
	if err != nil {
		return err
	}
	return record.Each(ctx, s.records, heldBy(id), func(f record.Record[mezu.Presence]) error {
		return s.forgetPresence(ctx, f.Key[len(heldBy(id)):], id)
	})
}

// CreateEnrolmentToken lets one Warpgate with a certain key register.
func (s *Fleet) CreateEnrolmentToken(ctx context.Context, c access.Caller, p access.Path, in api.EnrolmentTokenRequest, o record.Idempotency) (api.JoinTokenResponse, error) {
	var out api.JoinTokenResponse
	_, err := s.records.Commit(ctx, access.By(c, api.OpCreateEnrolmentToken.ID), func(ch *record.Change) error {
		sc, err := s.access.InEnvironment(ctx, c, api.OpCreateEnrolmentToken, p)
		if err != nil {
			return err
		}
		if raw, err := hex.DecodeString(in.PublicKeySHA256); err != nil || len(raw) != sha256.Size || hex.EncodeToString(raw) != in.PublicKeySHA256 {
			return mezu.Invalid("public_key_sha256", "is SHA-256 of the SubjectPublicKeyInfo in lower-case hexadecimal")
		}
		out, err = record.Idempotent(ctx, s.records, ch, o, true, func() (api.JoinTokenResponse, error) {
			g, err := s.access.FindGranter(ctx, sc.Organization.Value.ID, c.ID)
			if err != nil {
				return api.JoinTokenResponse{}, err
			}
			ch.Require(sc.Environment.Key, sc.Environment.Revision)
			secret, token := s.access.Issue(ch, access.Token{
				Kind: mezu.TokenEnrolment, Organization: sc.Organization.Value.ID, Project: sc.Project.Value.ID, Environment: sc.Environment.Value.ID,
				PublicKeySHA256: in.PublicKeySHA256, CreatedBy: c.ID, Standing: g.Standing,
			}, mezu.EnrolmentTokenLife)
			ch.Audit(sc.Target(record.KindEnrolmentToken, token.ID, sc.Environment.Value.Name), nil, token.Audited())
			return api.JoinTokenResponse{Token: secret, ExpiresAt: token.ExpiresAt}, nil
		})
		return err
	})
	return out, err
}

// sweepWarpgates removes Warpgates that can't come back by themselves: none of their
// certificates is valid and no edge holds them.
func (s *Fleet) sweepWarpgates(ctx context.Context) error {
	live, err := s.LiveEdges(ctx)
	if err != nil {
		return err
	}
	return record.Each(ctx, s.records, prefixWarpgate, func(f record.Record[Warpgate]) error {
		for _, c := range f.Value.Certificates {
			if s.records.Now().Before(c.NotAfter) {
				return nil
			}
		}
		if s.records.Now().Before(f.Value.RevokedUntil) {
			return nil // until then it is shown, and refused
		}
		w, err := s.ShownWarpgate(ctx, f.Value, live)
		if err != nil || w.Status == mezu.WarpgateConnected {
			return err
		}
		return s.removeWarpgate(ctx, record.Internal(), f.Value.Environment, f.Value.ID, 0)
	})
}
