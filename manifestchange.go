package mezu

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

// ChangeAction is what an apply does with a thing.
type ChangeAction string

// Actions of changes.
const (
	ChangeCreate ChangeAction = "create"
	ChangeUpdate ChangeAction = "update"
	ChangeDelete ChangeAction = "delete"
	// ChangeKeep: the manifest does not name it. Only an apply that prunes would remove
	// it.
	ChangeKeep ChangeAction = "keep"
)

// Change is one difference between what is and what a manifest asks for.
type Change struct {
	// Action is what is done with it.
	Action ChangeAction `json:"action"`
	// Path is what changes, in a manifest's own notation. A route is written with its
	// name, or else with mode and value: environments.production.routes[prefix /api/].
	Path string `json:"path"`
	// Before is the value before. What is created has none, nor has what consists of several
	// values.
	Before any `json:"before,omitempty"`
	// After is the value after. What is deleted has none, nor has what consists of several values.
	After any `json:"after,omitempty"`
}

// MaxChanges bounds the changes that an answer lists.
const MaxChanges = 1000

// changesOfOne is the most changes that one role or environment can have, apart from its
// routes, and changesOfDirectory those of a directory.
const (
	changesOfOne       = 4
	changesOfDirectory = 12
	changesOfWebhook   = 4
)

// Changes lists the differences between a manifest and the present state: first of
// directories, then of roles, then of environments. What is not named is deleted if prune is
// set, else kept. If now is nil, the project does not exist.
func (m *Manifest) Changes(now *Manifest, prune bool) []Change {
	// Each route of a new environment is a change.
	most := 1 + changesOfDirectory*len(m.Directories) + changesOfOne*(len(m.Roles)+len(m.Environments))
	for _, e := range m.Environments {
		most += len(e.Routes) + changesOfWebhook*len(e.Webhooks)
	}
	d := differ{prune: prune, out: make([]Change, 0, most)}
	if now == nil {
		d.add(ChangeCreate, "project", nil, nil)
		now = &Manifest{}
	}
	compareNamed(&d, "directories", now.Directories, m.Directories, d.directory)
	compareNamed(&d, "roles", now.Roles, m.Roles, d.role)
	compareNamed(&d, "environments", now.Environments, m.Environments, d.environment)
	return d.out
}

// differ collects changes.
type differ struct {
	prune bool
	out   []Change
}

func (d *differ) add(action ChangeAction, path string, before, after any) {
	d.out = append(d.out, Change{action, path, before, after})
}

// compareNamed compares the entries of a map.
func compareNamed[T any](d *differ, field string, now, wanted map[string]T, compare func(path string, now, wanted *T)) {
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		want := wanted[name]
		if have, ok := now[name]; ok {
			compare(field+"."+name, &have, &want)
		} else {
			d.add(ChangeCreate, field+"."+name, nil, nil)
			compare(field+"."+name, nil, &want)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if _, ok := wanted[name]; ok {
			continue
		}
		action := ChangeKeep
		if d.prune {
			action = ChangeDelete
		}
		d.add(action, field+"."+name, nil, nil)
	}
}

// setting compares one value in its written form.
func (d *differ) setting(path string, now, wanted any) {
	before, err := json.Marshal(now)
	after, errAfter := json.Marshal(wanted)
	if err == nil && errAfter == nil && bytes.Equal(before, after) {
		return
	}
	d.add(ChangeUpdate, path, now, wanted)
}

func (d *differ) directory(path string, now, wanted *ManifestDirectory) {
	var have ManifestDirectory
	if now != nil {
		have = *now
	}
	d.setting(path+".signup", have.Signup.orDefault(), wanted.Signup.orDefault())
	d.setting(path+".domains", sorted(have.Domains), sorted(wanted.Domains))
	d.setting(path+".mfa", have.MFA.orDefault(), wanted.MFA.orDefault())
	d.setting(path+".password", have.Password, wanted.Password)
	d.setting(path+".require", sorted(have.Require), sorted(wanted.Require))
	d.setting(path+".terms", have.Terms, wanted.Terms)
	before, after := have.Directory(""), wanted.Directory("")
	d.setting(path+".session.idle", Duration(before.SessionIdle()), Duration(after.SessionIdle()))
	d.setting(path+".session.absolute", Duration(before.SessionAbsolute()), Duration(after.SessionAbsolute()))
	d.setting(path+".brand.name", have.Brand.Name, wanted.Brand.Name)
	d.setting(path+".brand.color", have.Brand.Color, wanted.Brand.Color)
	d.setting(path+".brand.logo", have.Brand.Logo, wanted.Brand.Logo)
}

func (d *differ) role(path string, now, wanted *ProjectRole) {
	var have ProjectRole
	if now != nil {
		have = *now
	}
	d.setting(path+".permissions", sorted(have.Permissions), sorted(wanted.Permissions))
}

// sorted is a set as a list in one order.
func sorted[T ~string](names []T) []T {
	return append([]T{}, slices.Compact(slices.Sorted(slices.Values(names)))...)
}

func (d *differ) environment(path string, now, wanted *ManifestEnvironment) {
	var have ManifestEnvironment
	if now != nil {
		have = *now
	}
	if wanted.Enabled != nil {
		on := have.Enabled == nil || *have.Enabled
		d.setting(path+".enabled", on, *wanted.Enabled)
	}
	d.setting(path+".directory", have.Directory, wanted.Directory)
	d.setting(path+".waf", have.WAF.orDefault(), wanted.WAF.orDefault())
	d.setting(path+".waf_settings", have.WAFSettings, wanted.WAFSettings)
	d.setting(path+".allow_ips", sorted(have.AllowIPs), sorted(wanted.AllowIPs))
	d.setting(path+".deny_ips", sorted(have.DenyIPs), sorted(wanted.DenyIPs))
	d.setting(path+".maintenance", have.Maintenance, wanted.Maintenance)
	compareNamed(d, path+".webhooks", have.Webhooks, wanted.Webhooks, d.webhook)
	d.routes(path+".routes", have.Routes, wanted.Routes)
}

func (d *differ) webhook(path string, now, wanted *ManifestWebhook) {
	var have ManifestWebhook
	if now != nil {
		have = *now
	}
	d.setting(path+".provider", have.Provider, wanted.Provider)
	before, after := have.Webhook(""), wanted.Webhook("")
	d.setting(path+".tolerance", Duration(before.TimeTolerance()), Duration(after.TimeTolerance()))
	d.setting(path+".hmac", have.HMAC, wanted.HMAC)
}

// changedRoute is a route as a change shows it. It only points to the route, so that a
// change of many routes copies none.
type changedRoute struct{ *Route }

// MarshalJSON implements json.Marshaler.
func (r changedRoute) MarshalJSON() ([]byte, error) {
	if r.Meta == (Meta{}) {
		return json.Marshal(r.Route) // nothing is left out, so no copy is needed
	}
	return json.Marshal(r.Settings())
}

// below is the path of the route, below that of its environment.
func (r *Route) below(path string) string {
	if r.Name != "" {
		return path + "[" + r.Name + "]"
	}
	return path + "[" + string(r.Mode()) + " " + r.Value() + "]"
}

// routes compares routes by their identity. Their order doesn't matter.
func (d *differ) routes(path string, now, wanted []Route) {
	if len(now) == 0 {
		for i := range wanted {
			d.add(ChangeCreate, wanted[i].below(path), nil, changedRoute{&wanted[i]})
		}
		return
	}
	known := make(map[string]*Route, len(now))
	for i := range now {
		known[now[i].Identity()] = &now[i]
	}
	for i := range wanted {
		r := &wanted[i]
		here := r.below(path)
		was := known[r.Identity()]
		delete(known, r.Identity())
		if was == nil {
			d.add(ChangeCreate, here, nil, changedRoute{r})
			continue
		}
		d.route(here, was, r)
	}
	for i := range now {
		if r := &now[i]; known[r.Identity()] != nil {
			d.add(ChangeDelete, r.below(path), changedRoute{r}, nil)
		}
	}
}

// route compares a route field by field.
func (d *differ) route(path string, now, wanted *Route) {
	before, err := now.fields()
	after, errAfter := wanted.fields()
	if err != nil || errAfter != nil {
		d.add(ChangeUpdate, path, changedRoute{now}, changedRoute{wanted})
		return
	}
	names := slices.AppendSeq(slices.Collect(maps.Keys(before)), maps.Keys(after))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !bytes.Equal(before[name], after[name]) {
			d.add(ChangeUpdate, path+"."+name, orNothing(before[name]), orNothing(after[name]))
		}
	}
}

// fields gives the settings of a route in their written form, by name.
func (r *Route) fields() (map[string]json.RawMessage, error) {
	data, err := json.Marshal(r.Settings())
	if err != nil {
		return nil, err
	}
	var out map[string]json.RawMessage
	return out, json.Unmarshal(data, &out)
}

// orNothing is a value that may be missing.
func orNothing(v json.RawMessage) any {
	if v == nil {
		return nil
	}
	return v
}

// Settings is the route without the fields that the server sets.
func (r *Route) Settings() Route {
	out := *r
	out.Meta = Meta{}
	return out
}

func (m WAFMode) orDefault() WAFMode {
	if m == "" {
		return WAFOff
	}
	return m
}

func (m SignupMode) orDefault() SignupMode {
	if m == "" {
		return SignupInvite
	}
	return m
}

func (m MFAMode) orDefault() MFAMode {
	if m == "" {
		return MFAOptional
	}
	return m
}
