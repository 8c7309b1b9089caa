package service

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// ListEnvironments lists a project's.
func (s *Configuration) ListEnvironments(ctx context.Context, c Caller, p Place, page Paging) (api.List[mezu.Environment], error) {
	sc, err := s.access.inProject(ctx, c, api.OpListEnvironments, p)
	if err != nil {
		return api.List[mezu.Environment]{}, err
	}
	return list(ctx, s.records, environmentsOf(sc.project.Value.ID), page, func(f found[mezu.Environment]) (mezu.Environment, error) {
		return s.fleet.shown(f.Value), nil
	})
}

// written is the answer to a write.
func (s *Configuration) written(e mezu.Environment) api.EnvironmentWritten {
	return api.EnvironmentWritten{Environment: s.fleet.shown(e), Warnings: e.Warnings()}
}

// CreateEnvironment makes an environment with its endpoint and a bundle without
// routes.
func (s *Configuration) CreateEnvironment(ctx context.Context, c Caller, p Place, in mezu.Environment, o Once) (api.EnvironmentWritten, error) {
	var out mezu.Environment
	_, err := s.records.publish(ctx, by(c, api.OpCreateEnvironment.ID), func(ch *change) error {
		sc, err := s.access.inProject(ctx, c, api.OpCreateEnvironment, p)
		if err != nil {
			return err
		}
		out, err = once(ctx, s.records, ch, by(c, api.OpCreateEnvironment.ID), o, false, func() (mezu.Environment, error) {
			return s.addEnvironment(ctx, ch, sc, in)
		})
		return err
	})
	return s.written(out), err
}

func (s *Configuration) addEnvironment(ctx context.Context, ch *change, sc scope, in mezu.Environment) (mezu.Environment, error) {
	in, err := s.placeEnvironment(ctx, ch, sc, in)
	if err != nil {
		return in, err
	}
	ch.create(keyRoutes(in.ID), routesHead{})
	ch.audit(sc.target(kindEnvironment, in.ID, in.Name), nil, in)
	return in, s.stateBundle(ctx, ch, sc.organization.Value, sc.project.Value, in, nil)
}

// placeEnvironment plans a new environment without its routes and its bundle.
func (s *Configuration) placeEnvironment(ctx context.Context, ch *change, sc scope, in mezu.Environment) (mezu.Environment, error) {
	if err := in.Validate(); err != nil {
		return in, err
	}
	org, prj := sc.organization, sc.project
	key := environmentsOf(prj.Value.ID) + in.Name
	if err := s.records.free(ctx, key, "environment", in.Name); err != nil {
		return in, err
	}
	in.Meta, in.Organization, in.Project = s.records.meta(mezu.PrefixEnvironment), org.Value.Name, prj.Value.Name
	if err := s.identity.nameDirectory(ctx, ch, sc, mezu.Environment{}, &in); err != nil {
		return in, err
	}
	if err := s.allocate(ctx, ch, org.Value, prj.Value, &in); err != nil {
		return in, err
	}
	ch.create(key, in)
	ch.create(keyID(in.ID), key)
	ch.require(prj.Key, prj.Revision)
	return in, s.records.add(ctx, ch, prj.Value.ID, quotaEnvironments, func(n *children) *int { return &n.Environments })
}

// GetEnvironment reads one.
func (s *Configuration) GetEnvironment(ctx context.Context, c Caller, p Place) (mezu.Environment, error) {
	sc, err := s.access.inEnvironment(ctx, c, api.OpGetEnvironment, p)
	if err != nil {
		return mezu.Environment{}, err
	}
	return s.fleet.shown(sc.environment.Value), nil
}

// UpdateEnvironment changes one and publishes its bundle.
func (s *Configuration) UpdateEnvironment(ctx context.Context, c Caller, p Place, ifMatch uint64, with func(*mezu.Environment) error) (api.EnvironmentWritten, error) {
	var out mezu.Environment
	_, err := s.records.publish(ctx, by(c, api.OpUpdateEnvironment.ID), func(ch *change) error {
		sc, err := s.access.inEnvironment(ctx, c, api.OpUpdateEnvironment, p)
		if err != nil {
			return err
		}
		env := sc.environment
		if err := matches(ifMatch, env.Revision); err != nil {
			return err
		}
		out = env.Value
		if err := with(&out); err != nil {
			return err
		}
		if err := fixedName(env.Value.Name, out.Name); err != nil {
			return err
		}
		if err := out.Validate(); err != nil {
			return err
		}
		out.Organization, out.Project, out.Endpoint, out.URL = env.Value.Organization, env.Value.Project, env.Value.Endpoint, ""
		if err := s.identity.nameDirectory(ctx, ch, sc, env.Value, &out); err != nil {
			return err
		}
		out.Meta = s.records.touch(env.Value.Meta, env.Revision)
		ch.update(env.Key, env.Revision, out)
		ch.audit(sc.target(kindEnvironment, out.ID, out.Name), env.Value, out)
		_, routes, err := s.routes(ctx, out.ID)
		if err != nil {
			return err
		}
		return s.stateBundle(ctx, ch, sc.organization.Value, sc.project.Value, out, routes)
	})
	return s.written(out), err
}

// DeleteEnvironment takes an environment off the edges, revokes its Warpgates'
// certificates and holds its endpoint.
func (s *Configuration) DeleteEnvironment(ctx context.Context, c Caller, p Place, ifMatch uint64) error {
	var owed task
	_, err := s.records.publish(ctx, by(c, api.OpDeleteEnvironment.ID), func(ch *change) error {
		sc, err := s.access.inEnvironment(ctx, c, api.OpDeleteEnvironment, p)
		if err != nil {
			return err
		}
		env := sc.environment
		if err := matches(ifMatch, env.Revision); err != nil {
			return err
		}
		ch.audit(sc.target(kindEnvironment, env.Value.ID, env.Value.Name), env.Value, nil)
		owed, err = s.dropEnvironment(ctx, ch, sc, env)
		return err
	})
	if err != nil {
		return err
	}
	return s.records.settle(ctx, owed)
}

// dropEnvironment plans the end of an environment and gives what it owes.
func (s *Configuration) dropEnvironment(ctx context.Context, ch *change, sc scope, env found[mezu.Environment]) (task, error) {
	id := env.Value.ID
	owed := task{Kind: taskEnvironment, ID: id}
	ch.remove(env.Key, env.Revision)
	ch.drop(keyID(id))
	ch.drop(keyRoutes(id))
	ch.drop(keyDraining(id))
	ch.put(keyEndpoint(env.Value.Endpoint), endpoint{Organization: sc.organization.Value.ID, HeldUntil: s.records.stamp().Add(EndpointHold)})
	ch.enqueue(owed)
	if err := s.identity.nameDirectory(ctx, ch, sc, env.Value, &mezu.Environment{}); err != nil {
		return owed, err
	}
	s.stateRemoved(ch, sc.organization.Value, sc.project.Value, env.Value)
	return owed, s.records.count(ctx, ch, sc.project.Value.ID, func(n *children) { n.Environments-- })
}
