package config

import (
	"context"
	"errors"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/fleet"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// ListEnvironments lists a project's.
func (s *Configuration) ListEnvironments(ctx context.Context, c access.Caller, p access.Path, page record.Paging) (api.List[mezu.Environment], error) {
	sc, err := s.access.InProject(ctx, c, api.OpListEnvironments, p)
	if err != nil {
		return api.List[mezu.Environment]{}, err
	}
	return record.List(ctx, s.records, access.EnvironmentsOf(sc.Project.Value.ID), page, func(f record.Record[mezu.Environment]) (mezu.Environment, error) {
		return s.fleet.ShownEnvironment(f.Value), nil
	})
}

// written is the answer to a write, whose warnings are also about the directory that the
// environment names.
func (s *Configuration) written(ctx context.Context, e mezu.Environment, err error) (api.EnvironmentWritten, error) {
	if err != nil {
		return api.EnvironmentWritten{}, err
	}
	dir, err := s.warningsOfDirectory(ctx, e)
	return api.EnvironmentWritten{Environment: s.fleet.ShownEnvironment(e), Warnings: dir}, err
}

// warningsOfDirectory are the warnings about the directory that an environment names.
func (s *Configuration) warningsOfDirectory(ctx context.Context, e mezu.Environment) ([]string, error) {
	if e.DirectoryID == "" {
		return nil, nil
	}
	dir, err := record.ByID[mezu.Directory](ctx, s.records, e.DirectoryID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	return dir.Value.Warnings(), nil
}

// CreateEnvironment makes an environment with its endpoint and a bundle without
// routes.
func (s *Configuration) CreateEnvironment(ctx context.Context, c access.Caller, p access.Path, in mezu.Environment, o record.Idempotency) (api.EnvironmentWritten, error) {
	var out mezu.Environment
	_, err := s.records.Publish(ctx, access.By(c, api.OpCreateEnvironment.ID), func(ch *record.Change) error {
		sc, err := s.access.InProject(ctx, c, api.OpCreateEnvironment, p)
		if err != nil {
			return err
		}
		out, err = record.Idempotent(ctx, s.records, ch, o, false, func() (mezu.Environment, error) {
			return s.addEnvironment(ctx, ch, sc, in)
		})
		return err
	})
	return s.written(ctx, out, err)
}

func (s *Configuration) addEnvironment(ctx context.Context, ch *record.Change, sc access.Scope, in mezu.Environment) (mezu.Environment, error) {
	in, err := s.placeEnvironment(ctx, ch, sc, in)
	if err != nil {
		return in, err
	}
	ch.Create(keyRoutes(in.ID), routesHead{})
	ch.Audit(sc.Target(record.KindEnvironment, in.ID, in.Name), nil, in)
	return in, s.addBundle(ctx, ch, sc.Organization.Value, sc.Project.Value, in, nil)
}

// placeEnvironment plans a new environment without its routes and its bundle.
func (s *Configuration) placeEnvironment(ctx context.Context, ch *record.Change, sc access.Scope, in mezu.Environment) (mezu.Environment, error) {
	if err := in.Validate(); err != nil {
		return in, err
	}
	org, prj := sc.Organization, sc.Project
	key := access.EnvironmentsOf(prj.Value.ID) + in.Name
	if err := s.records.RefuseTaken(ctx, key, "environment", in.Name); err != nil {
		return in, err
	}
	in.Meta, in.Organization, in.Project, in.CreatedBy = s.records.Meta(mezu.PrefixEnvironment), org.Value.Name, prj.Value.Name, ch.Actor().ID
	if err := s.identity.NameDirectory(ctx, ch, sc, mezu.Environment{}, &in); err != nil {
		return in, err
	}
	if err := s.allocate(ctx, ch, org.Value, prj.Value, &in); err != nil {
		return in, err
	}
	ch.Create(key, in)
	ch.Create(record.KeyID(in.ID), key)
	ch.Require(prj.Key, prj.Revision)
	return in, s.records.CountUp(ctx, ch, prj.Value.ID, quotaEnvironments, func(n *record.Children) *int { return &n.Environments })
}

// GetEnvironment reads one.
func (s *Configuration) GetEnvironment(ctx context.Context, c access.Caller, p access.Path) (mezu.Environment, error) {
	sc, err := s.access.InEnvironment(ctx, c, api.OpGetEnvironment, p)
	if err != nil {
		return mezu.Environment{}, err
	}
	return s.fleet.ShownEnvironment(sc.Environment.Value), nil
}

// UpdateEnvironment changes one and publishes its bundle.
func (s *Configuration) UpdateEnvironment(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64, with func(*mezu.Environment) error) (api.EnvironmentWritten, error) {
	var out mezu.Environment
	_, err := s.records.Publish(ctx, access.By(c, api.OpUpdateEnvironment.ID), func(ch *record.Change) error {
		sc, err := s.access.InEnvironment(ctx, c, api.OpUpdateEnvironment, p)
		if err != nil {
			return err
		}
		env := sc.Environment
		if err := record.CheckRevision(ifMatch, env.Revision); err != nil {
			return err
		}
		out = env.Value
		if err := with(&out); err != nil {
			return err
		}
		if err := record.FixedName(env.Value.Name, out.Name); err != nil {
			return err
		}
		if err := out.Validate(); err != nil {
			return err
		}
		out.Organization, out.Project, out.Endpoint, out.URL = env.Value.Organization, env.Value.Project, env.Value.Endpoint, ""
		if err := s.identity.NameDirectory(ctx, ch, sc, env.Value, &out); err != nil {
			return err
		}
		out.Meta = s.records.Touch(env.Value.Meta, env.Revision)
		ch.Update(env.Key, env.Revision, out)
		ch.Audit(sc.Target(record.KindEnvironment, out.ID, out.Name), env.Value, out)
		_, routes, err := s.routes(ctx, out.ID)
		if err != nil {
			return err
		}
		return s.addBundle(ctx, ch, sc.Organization.Value, sc.Project.Value, out, routes)
	})
	return s.written(ctx, out, err)
}

// DeleteEnvironment takes an environment off the edges, revokes its Warpgates'
// certificates and holds its endpoint.
func (s *Configuration) DeleteEnvironment(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64) error {
	var task record.Task
	_, err := s.records.Publish(ctx, access.By(c, api.OpDeleteEnvironment.ID), func(ch *record.Change) error {
		sc, err := s.access.InEnvironment(ctx, c, api.OpDeleteEnvironment, p)
		if err != nil {
			return err
		}
		env := sc.Environment
		if err := record.CheckRevision(ifMatch, env.Revision); err != nil {
			return err
		}
		ch.Audit(sc.Target(record.KindEnvironment, env.Value.ID, env.Value.Name), env.Value, nil)
		task, err = s.dropEnvironment(ctx, ch, sc, env)
		return err
	})
	if err != nil {
		return err
	}
	return s.records.Finish(ctx, task)
}

// dropEnvironment plans the end of an environment and gives the task that it leaves.
func (s *Configuration) dropEnvironment(ctx context.Context, ch *record.Change, sc access.Scope, env record.Record[mezu.Environment]) (record.Task, error) {
	id := env.Value.ID
	task := record.Task{Kind: record.TaskEnvironment, ID: id}
	ch.Remove(env.Key, env.Revision)
	ch.Drop(record.KeyID(id))
	ch.Drop(keyRoutes(id))
	ch.Drop(fleet.KeyDraining(id))
	ch.Put(keyEndpoint(env.Value.Endpoint), endpoint{Organization: sc.Organization.Value.ID, HeldUntil: s.records.Stamp().Add(EndpointHold)})
	ch.Enqueue(task)
	if err := s.identity.NameDirectory(ctx, ch, sc, env.Value, &mezu.Environment{}); err != nil {
		return task, err
	}
	if err := s.dropEdgePart(ctx, ch, id); err != nil {
		return task, err
	}
	s.addTombstone(ch, sc.Organization.Value, sc.Project.Value, env.Value)
	return task, s.records.Count(ctx, ch, sc.Project.Value.ID, func(n *record.Children) { n.Environments-- })
}
