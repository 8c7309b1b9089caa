package service

import (
	"context"
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
	"github.com/mezusphere/mezu/edgesvc/store"
)

// maxCertificates is how many certificates of one peer may be alive: daily renewal
// over a week's life, with room for restarts. Past it the oldest are revoked.
const maxCertificates = 16

// certificate is one that was issued and may still be alive.
type certificate struct {
	Serial   string    `json:"serial"`
	NotAfter time.Time `json:"not_after"`
	// Epoch is that in which it was issued; zero of earlier versions.
	Epoch uint64 `json:"epoch,omitempty"`
	// From is the certificate of an earlier epoch by whose renewal, or renewals, it
	// came; empty if none did. An edge may say yet that that one was revoked before the
	// restore: then this one ends with it.
	From string `json:"from,omitempty"`
}

// issued is a certificate that was issued now, by the renewal of the certificate with the
// serial number by, or by a key or token if that is empty.
func (s *Fleet) issued(live []certificate, is ca.Issued, by string) certificate {
	out := certificate{Serial: is.Serial, NotAfter: is.NotAfter, Epoch: s.records.epoch}
	for _, c := range live {
		switch {
		case c.Serial != by:
		case c.Epoch < s.records.epoch:
			out.From = c.Serial
		default:
			out.From = c.From
		}
	}
	return out
}

// warpgate is a Warpgate as it is kept. What edges say of it is kept apart.
type warpgate struct {
	mezu.Warpgate
	// Organization and Project are ids.
	Organization string        `json:"organization"`
	Project      string        `json:"project"`
	KeySHA256    string        `json:"key_sha256"`
	Certificates []certificate `json:"certificates"`
	// RevokedUntil is when the last certificate of a revoked one would have ended.
	RevokedUntil time.Time `json:"revoked_until,omitzero"`
}

// target is the Warpgate in an audit record.
func (w warpgate) target() target {
	t := about(kindWarpgate, w.ID, "")
	t.organization, t.project = w.Organization, w.Project
	return t
}

// renewed adds a new certificate to those alive and says which to revoke for it: the
// oldest, but none from which another came.
func renewed(live []certificate, next certificate, now time.Time) (kept, over []certificate) {
	kept = slices.DeleteFunc(slices.Clone(live), func(c certificate) bool { return now.After(c.NotAfter) })
	kept = append(kept, next)
	for i := 0; len(kept) > maxCertificates && i < len(kept)-1; {
		if slices.ContainsFunc(kept, func(c certificate) bool { return c.From == kept[i].Serial }) {
			i++
			continue
		}
		over = append(over, kept[i])
		kept = slices.Delete(kept, i, i+1)
	}
	return kept, over
}

// ended parts certificates into those that are revoked with some serial numbers, by
// themselves or by what they came from, and the others.
func ended(live []certificate, serials map[string]bool) (gone, kept []certificate) {
	over := maps.Clone(serials)
	for _, c := range live { // each after what it came from
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
// Whether the request is fit is for the authority to say.
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

// ListWarpgates lists an environment's with their status.
func (s *Fleet) ListWarpgates(ctx context.Context, c Caller, p Place, page Paging) (api.List[mezu.Warpgate], error) {
	sc, err := s.access.inEnvironment(ctx, c, api.OpListWarpgates, p)
	if err != nil {
		return api.List[mezu.Warpgate]{}, err
	}
	live, err := s.liveEdges(ctx)
	if err != nil {
		return api.List[mezu.Warpgate]{}, err
	}
	return list(ctx, s.records, warpgatesOf(sc.environment.Value.ID), page, func(f found[warpgate]) (mezu.Warpgate, error) {
		return s.shownWarpgate(ctx, f.Value.Warpgate, live)
	})
}

// GetWarpgate reads one with its status.
func (s *Fleet) GetWarpgate(ctx context.Context, c Caller, p Place) (mezu.Warpgate, error) {
	sc, err := s.access.inEnvironment(ctx, c, api.OpGetWarpgate, p)
	if err != nil {
		return mezu.Warpgate{}, err
	}
	f, err := child[warpgate](ctx, s.records, warpgatesOf(sc.environment.Value.ID), p.Item, "Warpgate", "")
	if err != nil {
		return mezu.Warpgate{}, err
	}
	live, err := s.liveEdges(ctx)
	if err != nil {
		return mezu.Warpgate{}, err
	}
	return s.shownWarpgate(ctx, f.Value.Warpgate, live)
}

// DeleteWarpgate removes a Warpgate and revokes its certificates.
func (s *Fleet) DeleteWarpgate(ctx context.Context, c Caller, p Place, ifMatch uint64) error {
	sc, err := s.access.inEnvironment(ctx, c, api.OpDeleteWarpgate, p)
	if err != nil {
		return err
	}
	environment := sc.environment.Value.ID
	f, err := child[warpgate](ctx, s.records, warpgatesOf(environment), p.Item, "Warpgate", "")
	if err != nil {
		return err
	}
	return s.removeWarpgate(ctx, by(c, api.OpDeleteWarpgate.ID), environment, f.Value.ID, ifMatch)
}

// removeWarpgate removes a Warpgate in the revision ifMatch, or in any; it need not be
// there any more.
func (s *Fleet) removeWarpgate(ctx context.Context, a author, environment, id string, ifMatch uint64) error {
	_, err := s.records.publish(ctx, a, func(ch *change) error {
		f, err := get[warpgate](ctx, s.records, warpgatesOf(environment)+id)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := matches(ifMatch, f.Revision); err != nil {
			return err
		}
		ch.remove(f.Key, f.Revision)
		ch.drop(keyID(id))
		if f.Value.Draining {
			if _, err := s.noteDraining(ctx, ch, environment, id, false); err != nil {
				return err
			}
		}
		ch.audit(f.Value.target(), f.Value.Warpgate, nil)
		s.revoke(ch, environment, f.Value.Certificates)
		return nil
	})
	if err != nil {
		return err
	}
	return each(ctx, s.records, heldBy(id), func(f found[mezu.Presence]) error {
		return s.forgetPresence(ctx, f.Key[len(heldBy(id)):], id)
	})
}

// CreateEnrolmentToken lets one Warpgate with a certain key register.
func (s *Fleet) CreateEnrolmentToken(ctx context.Context, c Caller, p Place, in api.EnrolmentTokenRequest, o Once) (api.JoinTokenResponse, error) {
	var out api.JoinTokenResponse
	_, err := s.records.commit(ctx, by(c, api.OpCreateEnrolmentToken.ID), func(ch *change) error {
		sc, err := s.access.inEnvironment(ctx, c, api.OpCreateEnrolmentToken, p)
		if err != nil {
			return err
		}
		if raw, err := hex.DecodeString(in.PublicKeySHA256); err != nil || len(raw) != sha256.Size || hex.EncodeToString(raw) != in.PublicKeySHA256 {
			return mezu.Invalid("public_key_sha256", "is SHA-256 of the SubjectPublicKeyInfo in lower-case hexadecimal")
		}
		out, err = once(ctx, s.records, ch, by(c, api.OpCreateEnrolmentToken.ID), o, true, func() (api.JoinTokenResponse, error) {
			g, err := s.access.granter(ctx, sc.organization.Value.ID, c.ID)
			if err != nil {
				return api.JoinTokenResponse{}, err
			}
			ch.require(sc.environment.Key, sc.environment.Revision)
			secret, token := s.access.issue(ch, tokenRecord{
				Kind: mezu.TokenEnrolment, Organization: sc.organization.Value.ID, Project: sc.project.Value.ID, Environment: sc.environment.Value.ID,
				PublicKeySHA256: in.PublicKeySHA256, CreatedBy: c.ID, Standing: g.standing,
			}, mezu.EnrolmentTokenLife)
			ch.audit(sc.target(kindEnrolmentToken, token.ID, sc.environment.Value.Name), nil, token.audited())
			return api.JoinTokenResponse{Token: secret, ExpiresAt: token.ExpiresAt}, nil
		})
		return err
	})
	return out, err
}

// sweepWarpgates removes those that can't come back by themselves: no certificate
// of theirs is alive and no edge holds them.
func (s *Fleet) sweepWarpgates(ctx context.Context) error {
	live, err := s.liveEdges(ctx)
	if err != nil {
		return err
	}
	return each(ctx, s.records, prefixWarpgate, func(f found[warpgate]) error {
		for _, c := range f.Value.Certificates {
			if s.records.now().Before(c.NotAfter) {
				return nil
			}
		}
		if s.records.now().Before(f.Value.RevokedUntil) {
			return nil // it is refused, and shown, until then
		}
		w, err := s.shownWarpgate(ctx, f.Value.Warpgate, live)
		if err != nil || w.Status == mezu.WarpgateConnected {
			return err
		}
		return s.removeWarpgate(ctx, internal(), f.Value.Environment, f.Value.ID, 0)
	})
}
