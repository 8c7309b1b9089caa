package service

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// keyDeveloper holds the id of the person whom `mezu dev` acts for.
const keyDeveloper = "meta/developer"

// devAccount is the service account of the Warpgate that `mezu dev` runs.
const devAccount = "mezu-dev"

// Setup is what a developer's own installation begins with.
type Setup struct {
	Organization, Project, Environment string
	// Routes replace those of the environment; if nil, a new environment gets
	// one public route for everything and an old one keeps its own.
	Routes []mezu.Route
}

// SetupResult is what a setup made or found.
type SetupResult struct {
	Environment mezu.Environment
	// Key is a service account key with which a Warpgate may register. Each setup
	// makes a new one and ends the one before.
	Key string
}

// DeveloperToken issues a bearer token to the developer of this machine, who is
// operator. It is for the process that runs the installation; no operation
// reaches it.
func (s *Service) DeveloperToken(ctx context.Context) (string, error) {
	c, err := s.asDeveloper(ctx)
	if err != nil {
		return "", err
	}
	var secret string
	_, err = s.commit(ctx, byProcess(startDeveloperToken), func(ch *change) error {
		var token tokenRecord
		secret, token = s.issue(ch, tokenRecord{Kind: mezu.TokenBearer, Person: c.ID}, mezu.DefaultTokenLife)
		ch.audit(about(kindToken, token.ID, ""), nil, token.shown())
		return nil
	})
	return secret, err
}

// developer finds or makes the developer.
func (s *Service) developer(ctx context.Context, ch *change) (string, error) {
	known, err := optional[string](ctx, s, keyDeveloper)
	if err != nil || known.Revision != 0 {
		return known.Value, err
	}
	p, err := s.makePerson(ctx, ch, "", true)
	ch.create(keyDeveloper, p.ID)
	ch.audit(about(kindOperator, p.ID, ""), nil, mezu.Operator{Meta: p.Meta})
	return p.ID, err
}

// asDeveloper is the developer as a caller.
func (s *Service) asDeveloper(ctx context.Context) (Caller, error) {
	c := Caller{Kind: Member, Operator: true}
	_, err := s.commit(ctx, byProcess(startDeveloper), func(ch *change) (err error) {
		c.ID, err = s.developer(ctx, ch)
		return err
	})
	return c, err
}

// ApplyAsDeveloper is Apply by the developer of this machine. It is for the process that
// runs the installation; no operation reaches it.
func (s *Service) ApplyAsDeveloper(ctx context.Context, p Place, m mezu.Manifest) error {
	c, err := s.asDeveloper(ctx)
	if err == nil {
		_, err = s.Apply(ctx, c, p, api.ApplyRequest{Manifest: m})
	}
	return err
}

// SetUp makes what is missing of a developer's installation; repeated, it finds
// all there.
func (s *Service) SetUp(ctx context.Context, in Setup) (SetupResult, error) {
	var out SetupResult
	c, err := s.asDeveloper(ctx)
	if err != nil {
		return out, err
	}
	p := Place{Organization: in.Organization, Project: in.Project, Environment: in.Environment}
	_, err = s.CreateOrganization(ctx, c, mezu.Organization{Name: in.Organization}, Once{})
	if err != nil && mezu.CodeOf(err) != mezu.CodeConflict {
		return out, err
	}
	_, err = s.CreateProject(ctx, c, p, mezu.Project{Name: in.Project}, Once{})
	if err != nil && mezu.CodeOf(err) != mezu.CodeConflict {
		return out, err
	}
	routes := in.Routes
	_, err = s.CreateEnvironment(ctx, c, p, mezu.Environment{Name: in.Environment}, Once{})
	switch {
	case err == nil && routes == nil:
		routes = []mezu.Route{{Prefix: "/"}}
	case err != nil && mezu.CodeOf(err) != mezu.CodeConflict:
		return out, err
	}
	if routes != nil {
		if _, err := s.ReplaceRoutes(ctx, c, p, 0, routes); err != nil {
			return out, err
		}
	}
	if out.Environment, err = s.GetEnvironment(ctx, c, p); err != nil {
		return out, err
	}
	out.Key, err = s.devKey(ctx, c, p)
	return out, err
}

func (s *Service) devKey(ctx context.Context, c Caller, p Place) (string, error) {
	created, err := s.CreateServiceAccount(ctx, c, p, mezu.ServiceAccount{
		Name: devAccount, Permissions: []mezu.Permission{mezu.PermWarpgateRegister}, Environment: p.Environment,
	}, Once{})
	if mezu.CodeOf(err) != mezu.CodeConflict {
		return created.Key, err
	}
	p.Item = devAccount
	_, acc, err := s.account(ctx, c, api.OpGetServiceAccount, p)
	if err != nil {
		return "", err
	}
	return s.replaceKey(ctx, acc.Key)
}
