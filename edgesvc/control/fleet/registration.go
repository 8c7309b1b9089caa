package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// maxVersion bounds the version that a peer says it has.
const maxVersion = 64

func validateVersion(v string) error {
	if len(v) > maxVersion {
		return mezu.Invalid("version", "at most %d characters", maxVersion)
	}
	for i := range len(v) {
		if v[i] <= ' ' || v[i] > '~' {
			return mezu.Invalid("version", "has visible ASCII characters only")
		}
	}
	return nil
}

// RegisterWarpgate lets a Warpgate in: a certificate for its key, and all that it
// needs to serve.
func (s *Fleet) RegisterWarpgate(ctx context.Context, c access.Caller, in api.RegisterRequest) (api.RegisterResponse, error) {
	if _, err := access.Admit(api.OpRegisterWarpgate, c); err != nil {
		return api.RegisterResponse{}, err
	}
	if err := errors.Join(validateVersion(in.Version), mezu.ValidateWarpgateName(in.Name)); err != nil {
		return api.RegisterResponse{}, err
	}
	hash := keyHash(in.CSR)
	if c.Kind == access.Enrolment && hash != c.Token.Value.PublicKeySHA256 {
		return api.RegisterResponse{}, &mezu.Error{Code: mezu.CodeForbidden, Field: "csr", Detail: "the enrolment token is bound to another key", Hint: "ask for a token for this Warpgate's own key"}
	}
	var out api.RegisterResponse
	var env record.Record[mezu.Environment]
	_, err := s.records.Publish(ctx, access.By(c, api.OpRegisterWarpgate.ID), func(ch *record.Change) error {
		var err error
		if err = s.requireGranter(ctx, ch, c); err != nil {
			return err
		}
		if env, err = s.registersIn(ctx, c, in.Environment); err != nil {
			return err
		}
		rec, err := s.earlier(ctx, c, env.Value.ID, in.Warpgate, hash)
		if err != nil {
			return err
		}
		w := &rec.Value
		var was any
		if rec.Revision == 0 {
			w.Meta = s.records.Meta(mezu.PrefixWarpgate)
			rec.Key = WarpgatesOf(env.Value.ID) + w.ID
			ch.Create(record.KeyID(w.ID), rec.Key)
		} else {
			was = w.Warpgate
			w.Meta = s.records.Touch(w.Meta, rec.Revision)
		}
		w.Environment, w.Organization, w.Project, w.KeySHA256 = env.Value.ID, c.Organization, c.Project, hash
		w.Address, w.Version, w.RegisteredBy = c.Address, in.Version, c.ID
		w.Name = cmp.Or(in.Name, w.Name)
		if c.Kind == access.Enrolment {
			w.RegisteredBy = c.Token.Value.CreatedBy
			ch.Remove(c.Token.Key, c.Token.Revision)
		}
		ch.Require(env.Key, env.Revision)
		out.Warpgate = w.ID
		if err := s.certifyKey(ch, w, in.CSR, in.AssertionKey, in.AssertionProof); err != nil {
			return err
		}
		return s.certifyWarpgate(ctx, ch, rec, was, in.CSR, "", &out.Credentials)
	})
	if err != nil {
		return out, err
	}
	return out, s.complete(ctx, env.Value, &out)
}

// certifyWarpgate issues a certificate and notes it in the Warpgate's record. was is the
// Warpgate as it is stored, by the serial number of the certificate that is renewed.
func (s *Fleet) certifyWarpgate(ctx context.Context, ch *record.Change, rec record.Record[Warpgate], was any, csr, by string, out *api.Credentials) error {
	w := &rec.Value
	if err := s.countCertificate(ctx, ch, w.Organization); err != nil {
		return err
	}
	issued, err := s.records.Authority.IssuePeer(csr, mezu.Identity{Role: mezu.PeerWarpgate, ID: w.ID, Organization: w.Organization, Project: w.Project, Environment: w.Environment})
	if err != nil {
		return err
	}
	var over []Certificate
	w.Certificates, over = renewed(w.Certificates, s.issued(w.Certificates, issued, by), s.records.Now())
	s.revoke(ch, w.Environment, over)
	w.Serial = issued.Serial
	ch.Update(rec.Key, rec.Revision, *w)
	ch.Audit(w.target(), was, w.Warpgate)
	*out = s.credentials(issued.Chain)
	return nil
}

func (s *Fleet) credentials(chain string) api.Credentials {
	return api.Credentials{Certificates: chain, TrustRoot: s.records.Authority.TrustRoot(), Keyset: s.records.Authority.Keyset()}
}

// requireGranter makes a registration depend on whoever lets the Warpgate in: the service
// account, or the member or account that made the enrolment token. If they are gone or lack
// the verb, now or at any time since the token was made, the Warpgate is refused. If they are
// removed later, the Warpgate is removed too.
func (s *Fleet) requireGranter(ctx context.Context, ch *record.Change, c access.Caller) error {
	by, then := c.ID, ""
	if c.Kind == access.Enrolment {
		by, then = c.Token.Value.CreatedBy, c.Token.Value.Standing
	}
	g, err := s.access.FindGranter(ctx, c.Organization, by)
	if err != nil {
		return err
	}
	ch.Require(g.Key, g.Revision)
	if !slices.Contains(g.Verbs, mezu.PermWarpgateRegister) || then != "" && then != g.Standing {
		return access.Unauthenticated("whoever let this Warpgate in may not do so any more", "ask for another key or token")
	}
	return nil
}

// registersIn finds the environment that a Warpgate joins.
func (s *Fleet) registersIn(ctx context.Context, c access.Caller, name string) (record.Record[mezu.Environment], error) {
	if c.Kind == access.Enrolment {
		// The token may have been spent since it was read, by another
		// Warpgate with the same key.
		if _, err := record.Get[access.Token](ctx, s.records, c.Token.Key); errors.Is(err, store.ErrNotFound) {
			return record.Record[mezu.Environment]{}, access.Unauthenticated("this enrolment token was used", "ask for another; each lets one Warpgate in, within ten minutes")
		}
		env, err := record.ByID[mezu.Environment](ctx, s.records, c.Environment)
		if errors.Is(err, store.ErrNotFound) {
			return env, record.NotFound("environment", "it was deleted; ask for an enrolment token of another one")
		}
		if err == nil && name != "" && name != env.Value.Name {
			return env, &mezu.Error{Code: mezu.CodeForbidden, Field: "environment", Detail: "the enrolment token is bound to another environment", Hint: "leave the environment out"}
		}
		return env, err
	}
	if name == "" {
		acc, err := record.ByID[access.Account](ctx, s.records, c.ID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return record.Record[mezu.Environment]{}, err
		}
		name = acc.Value.Account.Environment
	}
	if name == "" {
		name = mezu.EnvironmentProduction
	}
	env, err := record.Child[mezu.Environment](ctx, s.records, access.EnvironmentsOf(c.Project), name, "environment", "")
	if mezu.CodeOf(err) == mezu.CodeNotFound {
		return env, &mezu.Error{Code: mezu.CodeNotFound, Field: "environment", Detail: fmt.Sprintf("the service account's project has no environment %q", name), Hint: "create it, or name another with --environment"}
	}
	return env, err
}

// earlier finds the registration that a Warpgate continues. It must have the same key and the
// same environment. If it is gone, the Warpgate gets a new identity.
func (s *Fleet) earlier(ctx context.Context, c access.Caller, environment, id, hash string) (record.Record[Warpgate], error) {
	if id == "" {
		return record.Record[Warpgate]{}, nil
	}
	if err := mezu.ValidateID("warpgate", mezu.PrefixWarpgate, id); err != nil {
		return record.Record[Warpgate]{}, err
	}
	rec, err := record.Optional[Warpgate](ctx, s.records, WarpgatesOf(environment)+id)
	if err == nil && rec.Revision != 0 && rec.Value.KeySHA256 != hash {
		return record.Record[Warpgate]{}, &mezu.Error{Code: mezu.CodeForbidden, Field: "warpgate", Detail: "this identity belongs to another key", Hint: "leave the id out to register as a new Warpgate"}
	}
	if err == nil && rec.Value.Status == mezu.WarpgateRevoked {
		return record.Record[Warpgate]{}, &mezu.Error{Code: mezu.CodeForbidden, Field: "warpgate", Detail: "this Warpgate was revoked before the installation was restored from a backup", Hint: "if it is to come back, remove its state directory and start it with a valid key"}
	}
	return rec, err
}

// complete fills in what a Warpgate needs besides its certificate.
func (s *Fleet) complete(ctx context.Context, env mezu.Environment, out *api.RegisterResponse) error {
	env = s.ShownEnvironment(env)
	out.Organization, out.Project, out.Environment, out.URL = env.Organization, env.Project, env.Name, env.URL
	// The head is read first, so that everything read after it is at least as new.
	var err error
	if out.Head, err = s.records.Head(ctx); err != nil {
		return err
	}
	if out.Bundle, err = s.records.Statement(ctx, record.KeyBundle(env.ID)); err != nil {
		return err
	}
	if out.Edges, err = s.records.Statement(ctx, record.KeyEdges); err != nil {
		return err
	}
	page, err := s.records.Store.List(ctx, prefixEndedEdge, "", api.MaxAnswerRevocations)
	if err != nil {
		return err
	}
	for _, r := range page.Records {
		f, err := record.Decode[record.StreamRecord](r)
		if err != nil {
			return err
		}
		if s.records.Now().After(f.Value.Until) {
			continue
		}
		signed, err := s.records.Signed(ctx, f.Value)
		if err != nil {
			return err
		}
		out.Revocations = append(out.Revocations, signed)
	}
	return nil
}

// RenewWarpgate gives the holder of a valid certificate another one, perhaps for another key.
func (s *Fleet) RenewWarpgate(ctx context.Context, c access.Caller, in api.RenewRequest) (api.RegisterResponse, error) {
	var out api.RegisterResponse
	if _, err := access.Admit(api.OpRenewWarpgate, c); err != nil {
		return out, err
	}
	if err := validateVersion(in.Version); err != nil {
		return out, err
	}
	var env record.Record[mezu.Environment]
	_, err := s.records.Publish(ctx, access.By(c, api.OpRenewWarpgate.ID), func(ch *record.Change) error {
		rec, err := record.Get[Warpgate](ctx, s.records, WarpgatesOf(c.Environment)+c.ID)
		if errors.Is(err, store.ErrNotFound) || err == nil && !alive(rec.Value.Certificates, c.Serial) {
			return access.Unauthenticated("the certificate was revoked", "register again")
		}
		if err != nil {
			return err
		}
		env, err = record.ByID[mezu.Environment](ctx, s.records, c.Environment)
		if errors.Is(err, store.ErrNotFound) {
			return access.Unauthenticated("the environment of this Warpgate was deleted", "register again, in an environment that exists")
		}
		if err != nil {
			return err
		}
		was := rec.Value.Warpgate
		rec.Value.Meta = s.records.Touch(rec.Value.Meta, rec.Revision)
		rec.Value.KeySHA256, rec.Value.Address = keyHash(in.CSR), c.Address
		if in.Version != "" {
			rec.Value.Version = in.Version
		}
		out.Warpgate = rec.Value.ID
		if err := s.certifyKey(ch, &rec.Value, in.CSR, in.AssertionKey, in.AssertionProof); err != nil {
			return err
		}
		return s.certifyWarpgate(ctx, ch, rec, was, in.CSR, c.Serial, &out.Credentials)
	})
	if err != nil {
		return out, err
	}
	return out, s.complete(ctx, env.Value, &out)
}

func alive(live []Certificate, serial string) bool {
	return slices.ContainsFunc(live, func(c Certificate) bool { return c.Serial == serial })
}
