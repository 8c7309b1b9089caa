package config

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// routesHead is the record whose revision is that of an environment's routes; they
// themselves are one document.
type routesHead struct {
	Document record.Blob `json:"document,omitzero"`
}

// routes reads all routes of an environment.
func (s *Configuration) routes(ctx context.Context, environment string) (record.Record[routesHead], []mezu.Route, error) {
	head, err := record.Optional[routesHead](ctx, s.records, keyRoutes(environment))
	if err != nil {
		return head, nil, err
	}
	data, err := s.records.ReadDocument(ctx, head.Value.Document)
	if err != nil || len(data) == 0 {
		return head, nil, err
	}
	var routes []mezu.Route
	if err := json.Unmarshal(data, &routes); err != nil {
		return head, nil, fmt.Errorf("decoding the routes of %s: %w", environment, err)
	}
	return head, routes, nil
}

// ListRoutes shows all routes of an environment and who runs which position.
func (s *Configuration) ListRoutes(ctx context.Context, c access.Caller, p access.Path) (api.RoutesState, error) {
	sc, err := s.access.InEnvironment(ctx, c, api.OpListRoutes, p)
	if err != nil {
		return api.RoutesState{}, err
	}
	head, routes, err := s.routes(ctx, sc.Environment.Value.ID)
	if err != nil {
		return api.RoutesState{}, err
	}
	return s.routesState(ctx, sc.Environment.Value, head.Revision, routes, mezu.Warnings(ctx, routes))
}

func (s *Configuration) routesState(ctx context.Context, env mezu.Environment, revision uint64, routes []mezu.Route, warnings []string) (api.RoutesState, error) {
	bundle, err := record.Optional[record.StreamRecord](ctx, s.records, record.KeyBundle(env.ID))
	if err != nil {
		return api.RoutesState{}, err
	}
	if routes == nil {
		routes = []mezu.Route{}
	}
	out := api.RoutesState{Routes: routes, Position: bundle.Value.Position, Revision: revision, Warnings: warnings}
	missing, err := s.warnOfWebhooks(ctx, env.ID, routes)
	if err != nil {
		return api.RoutesState{}, err
	}
	out.Warnings = append(out.Warnings, missing...)
	out.Applied, err = s.fleet.Applied(ctx, env.ID)
	for i := range out.Applied {
		a := &out.Applied[i]
		a.Behind, a.Since = bundle.Value.Lacks(a.Position)
	}
	return out, err
}

// ReplaceRoutes sets all routes. A route that was there before, by its identity,
// keeps its id.
func (s *Configuration) ReplaceRoutes(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64, in []mezu.Route) (api.RoutesState, error) {
	var env mezu.Environment
	var revision uint64
	var out []mezu.Route
	var warnings []string
	_, err := s.records.Publish(ctx, access.By(c, api.OpReplaceRoutes.ID), func(ch *record.Change) error {
		sc, err := s.access.InEnvironment(ctx, c, api.OpReplaceRoutes, p)
		if err != nil {
			return err
		}
		env = sc.Environment.Value
		head, old, err := s.routes(ctx, env.ID)
		if err != nil {
			return err
		}
		if err := record.CheckRevision(ifMatch, head.Revision); err != nil {
			return err
		}
		revision = head.Revision + 1
		if warnings, err = mezu.JudgeRoutes(ctx, "routes", in); err != nil {
			return err
		}
		if err := s.records.Within(quotaRoutes, len(in)); err != nil {
			return err
		}
		ch.MarkValid(env.ID)
		out = s.adopt(old, in, false)
		was, is, err := auditRoutes(old, out)
		if err != nil {
			return err
		}
		ch.Audit(sc.Target(record.KindRoutes, env.ID, sc.Environment.Value.Name), was, is)
		return s.setRoutes(ctx, ch, sc, head, out)
	})
	if err != nil {
		return api.RoutesState{}, err
	}
	return s.routesState(ctx, env, revision, out, warnings)
}

// adopt gives new routes, where they are, the meta of the old ones with the same
// identity; a route that did not change keeps its revision. In a dry run, of which nobody
// sees them, new ones get none.
func (s *Configuration) adopt(old, in []mezu.Route, dry bool) []mezu.Route {
	known := byIdentity(old)
	for i := range in {
		r := &in[i]
		var was *mezu.Route
		if len(known) > 0 {
			was = known[r.Identity()]
		}
		switch {
		case was == nil && dry:
			r.Meta = mezu.Meta{}
		case was == nil:
			r.Meta = s.records.Meta(mezu.PrefixRoute)
		case sameRoute(was, r):
			r.Meta = was.Meta
		default:
			r.Meta = s.records.Touch(was.Meta, was.Revision)
		}
	}
	return in
}

// byIdentity finds routes by what makes them the same.
func byIdentity(routes []mezu.Route) map[string]*mezu.Route {
	known := make(map[string]*mezu.Route, len(routes))
	for i := range routes {
		known[routes[i].Identity()] = &routes[i]
	}
	return known
}

// sameRoute compares what a client can set.
func sameRoute(a, b *mezu.Route) bool {
	x, errX := json.Marshal(a.Settings())
	y, errY := json.Marshal(b.Settings())
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// setRoutes writes an environment's routes and its bundle.
func (s *Configuration) setRoutes(ctx context.Context, ch *record.Change, sc access.Scope, head record.Record[routesHead], routes []mezu.Route) error {
	data, err := s.encodeRoutes(routes, false)
	if err != nil {
		return err
	}
	if err := s.addBundle(ctx, ch, sc.Organization.Value, sc.Project.Value, sc.Environment.Value, routes); err != nil {
		return err
	}
	document, err := s.records.KeepDocument(ctx, ch, ownerOf(sc.Organization.Value.ID, sc.Environment.Value.ID), data)
	if err != nil {
		return err
	}
	ch.Update(head.Key, head.Revision, routesHead{Document: document})
	ch.Require(sc.Environment.Key, sc.Environment.Revision)
	ch.Require(sc.Project.Key, sc.Project.Revision)
	return nil
}

// encodeRoutes are routes as they are stored, within their limit; dry has them counted,
// new ones with the meta that they would have, and gives none.
func (s *Configuration) encodeRoutes(routes []mezu.Route, dry bool) ([]byte, error) {
	var size byteCount
	if err := writeRoutes(&size, routes); err != nil {
		return nil, err
	}
	if dry {
		meta, err := record.Encode(s.records.Meta(mezu.PrefixRoute))
		if err != nil {
			return nil, fmt.Errorf("encoding a meta: %w", err)
		}
		for i := range routes {
			if routes[i].ID == "" {
				size += byteCount(len(meta) - len("{}") + len(","))
			}
		}
	}
	if size > mezu.MaxRoutesBytes {
		return nil, mezu.Invalid("routes", "take %d bytes together; at most %d", size, mezu.MaxRoutesBytes)
	}
	if dry {
		return nil, nil
	}
	var out bytes.Buffer
	out.Grow(int(size))
	err := writeRoutes(&out, routes)
	return out.Bytes(), err
}

// byteCount counts what is written.
type byteCount int

// Write implements io.Writer.
func (c *byteCount) Write(p []byte) (int, error) {
	*c += byteCount(len(p))
	return len(p), nil
}

func noRoute() error { return record.NotFound("route", "") }

// findRoute finds a route by id or name.
func findRoute(routes []mezu.Route, ref string) int {
	return slices.IndexFunc(routes, func(r mezu.Route) bool { return ref != "" && (r.ID == ref || r.Name == ref) })
}

// GetRoute reads one by id or name.
func (s *Configuration) GetRoute(ctx context.Context, c access.Caller, p access.Path) (mezu.Route, error) {
	sc, err := s.access.InEnvironment(ctx, c, api.OpGetRoute, p)
	if err != nil {
		return mezu.Route{}, err
	}
	_, routes, err := s.routes(ctx, sc.Environment.Value.ID)
	if err != nil {
		return mezu.Route{}, err
	}
	i := findRoute(routes, p.Item)
	if i < 0 {
		return mezu.Route{}, noRoute()
	}
	return routes[i], nil
}

// CreateRoute adds a route.
func (s *Configuration) CreateRoute(ctx context.Context, c access.Caller, p access.Path, in mezu.Route, o record.Idempotency) (api.RouteWritten, error) {
	var out api.RouteWritten
	_, err := s.records.Publish(ctx, access.By(c, api.OpCreateRoute.ID), func(ch *record.Change) error {
		sc, err := s.access.InEnvironment(ctx, c, api.OpCreateRoute, p)
		if err != nil {
			return err
		}
		out, err = record.Idempotent(ctx, s.records, ch, o, false, func() (api.RouteWritten, error) {
			head, routes, err := s.routes(ctx, sc.Environment.Value.ID)
			if err != nil {
				return out, err
			}
			if err := s.records.Within(quotaRoutes, len(routes)+1); err != nil {
				return out, err
			}
			in.Meta = s.records.Meta(mezu.PrefixRoute)
			ch.Audit(sc.Target(record.KindRoute, in.ID, in.Label()), nil, in)
			return s.setOneRoute(ctx, ch, sc, head, append(routes, in), len(routes))
		})
		return err
	})
	return out, err
}

// clash says with which route the one of this index clashes, and in what.
func clash(routes []mezu.Route, index int) error {
	e := &mezu.Error{Code: mezu.CodeConflict, Detail: "there is another route with this name or match", Hint: "change that one, or give this one another name or match"}
	one := &routes[index]
	for i := range routes {
		other := &routes[i]
		match := string(other.Mode()) + " " + other.Value()
		switch {
		case i == index:
		case one.Name != "" && one.Name == other.Name:
			e.Detail, e.Hint = fmt.Sprintf("route %s (%s) has the name %s already", other.ID, match, one.Name), "change that one, or give this one another name"
			return e
		case one.SameMatch(other):
			e.Detail, e.Hint = fmt.Sprintf("route %s (%s) has this match already", cmp.Or(other.Name, other.ID), match), "change that one, or give this one another match, methods or headers"
			return e
		}
	}
	return e
}

// setOneRoute writes routes of which that of this index is new or changed; a clash and remarks are
// told of that one.
func (s *Configuration) setOneRoute(ctx context.Context, ch *record.Change, sc access.Scope, head record.Record[routesHead], routes []mezu.Route, index int) (api.RouteWritten, error) {
	one := routes[index]
	out := api.RouteWritten{Route: one}
	if err := mezu.ValidateRouteAmong(ctx, "routes", routes, index); err != nil {
		if mezu.CodeOf(err) == mezu.CodeConflict {
			err = clash(routes, index)
		}
		return out, err
	}
	missing, err := s.warnOfWebhooks(ctx, sc.Environment.Value.ID, routes[index:index+1])
	if err != nil {
		return out, err
	}
	out.Warnings = append(one.Warnings(ctx, routes), missing...)
	return out, s.setRoutes(ctx, ch, sc, head, routes)
}

// routeToChange admits the caller to the change of a route and gives it as the i-th of
// its environment's.
func (s *Configuration) routeToChange(ctx context.Context, c access.Caller, op api.Operation, p access.Path, ifMatch uint64) (sc access.Scope, head record.Record[routesHead], routes []mezu.Route, i int, err error) {
	if sc, err = s.access.InEnvironment(ctx, c, op, p); err != nil {
		return sc, head, nil, 0, err
	}
	if head, routes, err = s.routes(ctx, sc.Environment.Value.ID); err != nil {
		return sc, head, nil, 0, err
	}
	if i = findRoute(routes, p.Item); i < 0 {
		return sc, head, nil, 0, noRoute()
	}
	return sc, head, routes, i, record.CheckRevision(ifMatch, routes[i].Revision)
}

// UpdateRoute changes one route.
func (s *Configuration) UpdateRoute(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64, with func(*mezu.Route) error) (api.RouteWritten, error) {
	var out api.RouteWritten
	_, err := s.records.Publish(ctx, access.By(c, api.OpUpdateRoute.ID), func(ch *record.Change) error {
		sc, head, routes, i, err := s.routeToChange(ctx, c, api.OpUpdateRoute, p, ifMatch)
		if err != nil {
			return err
		}
		was := routes[i]
		now := was
		if err := with(&now); err != nil {
			return err
		}
		now.Meta = s.records.Touch(was.Meta, was.Revision)
		routes[i] = now
		ch.Audit(sc.Target(record.KindRoute, now.ID, now.Label()), was, now)
		out, err = s.setOneRoute(ctx, ch, sc, head, routes, i)
		return err
	})
	return out, err
}

// DeleteRoute removes one route.
func (s *Configuration) DeleteRoute(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64) error {
	_, err := s.records.Publish(ctx, access.By(c, api.OpDeleteRoute.ID), func(ch *record.Change) error {
		sc, head, routes, i, err := s.routeToChange(ctx, c, api.OpDeleteRoute, p, ifMatch)
		if err != nil {
			return err
		}
		ch.Audit(sc.Target(record.KindRoute, routes[i].ID, routes[i].Label()), routes[i], nil)
		return s.setRoutes(ctx, ch, sc, head, slices.Delete(routes, i, i+1))
	})
	return err
}
