package trust

import (
	"context"
	"slices"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/trust/store"
)

// undo takes a CA out of the stores that got it by this command: that of --sha256, else those that
// are remembered of the profile or its CA file, and the one in that file.
func undo(ctx context.Context, o *options) error {
	wanted, damaged, err := o.wanted()
	if err != nil {
		return err
	}
	if len(wanted) == 0 {
		if damaged != nil {
			return damaged
		}
		o.Sayf("nothing is trusted by mezu trust")
		return nil
	}
	for _, r := range wanted {
		if failure := o.remove(ctx, r); failure != nil && err == nil {
			err = failure
		}
	}
	if damaged != nil {
		o.Warnf("%s", terminal.Clean(damaged.Error()))
	}
	return err
}

// wanted are the records of what is to go. damaged says which can't be read.
func (o *options) wanted() (out []record, damaged, err error) {
	known, damaged := o.records.all()
	s, unsettled := o.Settings()
	profile, path := s.Profile, ""
	switch {
	case mezu.CodeOf(unsettled) == mezu.CodeNotFound: // the profile is gone, and its name is known
		profile = o.named()
	case unsettled != nil:
		return nil, damaged, unsettled
	case s.CAFile != "":
		path = o.Path(s.CAFile)
	}
	var current []store.CA
	if path != "" {
		current, _ = read(path) // it may be gone, or be another by now
	}
	if o.SHA256 != "" {
		all := current
		for _, r := range known {
			if !slices.ContainsFunc(all, func(c store.CA) bool { return c.SHA256() == r.ca.SHA256() }) {
				all = append(all, r.ca)
			}
		}
		ca, err := store.Select(all, o.SHA256)
		if err != nil {
			return nil, damaged, err
		}
		r, err := o.records.of(ca)
		return []record{r}, damaged, err
	}
	for _, r := range known {
		if r.Profile != "" && r.Profile == profile || path != "" && r.CAFile == path {
			out = append(out, r)
		}
	}
	for _, ca := range current {
		if slices.ContainsFunc(out, func(r record) bool { return r.ca.SHA256() == ca.SHA256() }) {
			continue
		}
		r, err := o.records.of(ca)
		if err != nil {
			return nil, damaged, err
		}
		out = append(out, r)
	}
	if len(out) == 0 && len(known) > 0 {
		names := ""
		for _, r := range known {
			names += " " + r.ca.SHA256()[:16]
		}
		return nil, damaged, &mezu.Error{Code: mezu.CodeInvalid, Detail: "no CA of this profile was trusted by mezu trust; of others there is" + names, Hint: "mezu trust --undo --sha256 " + known[0].ca.SHA256()[:16]}
	}
	return out, damaged, nil
}

// named is the profile that was asked for.
func (o *options) named() string {
	if o.Flags.Profile != "" {
		return o.Flags.Profile
	}
	return o.Getenv("MEZU_PROFILE")
}

// remove takes one CA out of the stores of its record, and of those that have it under the name that
// this command gives it: a record may be lost.
func (o *options) remove(ctx context.Context, r record) error {
	var stores []store.Store
	var gone []placed
	for _, p := range r.Stores {
		if s, ok := o.machine.At(p.Kind, p.Location); ok {
			if !o.User || s.OfUser() {
				stores = append(stores, s)
			}
		} else {
			gone = append(gone, p)
		}
	}
	for _, s := range o.stores() {
		if s.Labels() && !r.has(s) {
			stores = append(stores, s)
		}
	}
	found := look(ctx, r.ca, stores)
	changes := func(s looked) bool { return s.err == nil && s.has == store.Own }
	if slices.ContainsFunc(found, changes) {
		o.introduce(r)
		o.plan("takes it out of", found, changes)
		if err := o.confirm(ctx, "Take it out?", "taking a CA out"); err != nil {
			return err
		}
	}
	done := o.begin(r)
	for _, p := range gone {
		done.say(store.Store{Kind: p.Kind, Location: p.Location}, terminal.Good, absent, "is there no more")
		r = r.without(p)
	}
	for _, s := range found {
		if s.err == nil && s.has != store.Absent && done.remade(s.Store) {
			s.has, s.name, s.err = s.Has(ctx, r.ca)
		}
		p := placed{s.Kind, s.Location}
		switch {
		case s.err != nil && r.has(s.Store):
			done.fail(s.Store, s.err)
			continue
		case s.err != nil: // it never got the CA
			continue
		case s.has == store.Foreign:
			done.say(s.Store, terminal.Caution, kept, "has it as "+s.name+", which mezu trust did not put there: it stays")
		case s.has == store.Absent && r.has(s.Store):
			done.say(s.Store, terminal.Good, absent, "has it no more")
		case s.has == store.Own:
			if err := s.Remove(ctx, r.ca); err != nil {
				done.fail(s.Store, err)
				continue
			}
			done.say(s.Store, terminal.Good, removed, "trusts it no more")
		}
		r = r.without(p)
	}
	if len(done.report.Stores) == 0 {
		o.Sayf("no store has %s from mezu trust", terminal.Clean(r.ca.Subject()))
	}
	err := done.end()
	if failed := o.records.save(r); failed != nil && o.records.dir != "" {
		return failed
	}
	return err
}
