// Package declare is "mezu apply", "diff", "export" and "validate": a project as mezu.yaml
// declares it.
//
// What may not live here: reading the file (package manifest) and what an apply means,
// which is the control plane's business. It imports the domain, api, manifest and the
// packages of cli that every command uses; cli imports it.
package declare

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/manifest"
)

// category is the heading under which help lists these commands.
const category = "declarative file"

// Commands are the four commands.
func Commands(inv *invocation.Invocation) []*cli.Command {
	return []*cli.Command{newApply(inv, runApply), newDiff(inv, runDiff), newExport(inv, runExport), newValidate(inv, runValidate)}
}

func fileFlag() cli.Flag {
	return &cli.PathFlag{Name: "file", Aliases: []string{"f"}, Usage: "read `FILE`; - is standard input", DefaultText: "mezu.yaml here or above"}
}

// readFile reads the file that was named, or else mezu.yaml of the working directory or of
// one above it.
func readFile(ctx context.Context, inv *invocation.Invocation, name string) (*manifest.File, error) {
	switch name {
	case "-":
		data, err := inv.ReadAll(ctx, manifest.MaxSize+1)
		if err != nil {
			return nil, err
		}
		f, err := manifest.Parse(ctx, "standard input", data)
		if err == nil {
			err = f.TakeLogos(inv.Dir)
		}
		return f, err
	case "":
		d, err := profile.Find(inv.Dir)
		if err != nil {
			return nil, err
		}
		if d.Path == "" {
			e := exit.Usagef("there is no %s here or above", profile.FileName)
			e.Hint = "name a file with -f, or begin with mezu export > " + profile.FileName
			return nil, e
		}
		name = d.Path
		if rel, err := filepath.Rel(inv.Dir, name); err == nil {
			name = rel
		}
	}
	return manifest.Read(ctx, inv.Path(name), name)
}

// target is the project that a manifest is applied to.
type target struct {
	client                *api.Client
	organization, project string
}

func (t target) String() string {
	return terminal.Clean(t.organization) + "/" + terminal.Clean(t.project)
}

// find resolves the context. The context must not contradict the names in the file, because
// the file may belong to another project than the shell's variables.
func find(inv *invocation.Invocation, f *manifest.File) (target, error) {
	s, err := inv.Settings()
	if err != nil {
		return target{}, err
	}
	named := []struct {
		flag, field, file string
		context           *string
		given             bool
	}{
		{"org", "organization", f.Manifest.Organization, &s.Organization, inv.Flags.Organization != "" || inv.Getenv("MEZU_ORG") != ""},
		{"project", "project", f.Manifest.Project, &s.Project, inv.Flags.Project != "" || inv.Getenv("MEZU_PROJECT") != ""},
	}
	for _, n := range named {
		switch {
		case n.file == "":
		case n.given && *n.context != n.file:
			e := exit.Usagef("%s is for the %s %s, and the context says %s", f.Name, n.field, n.file, terminal.Clean(*n.context))
			e.Hint = "take --" + n.flag + " or its variable away, or change the file"
			return target{}, e
		default:
			*n.context = n.file
		}
	}
	var t target
	if t.organization, err = s.RequireOrganization(); err != nil {
		return t, err
	}
	if t.project, err = s.RequireProject(); err != nil {
		return t, err
	}
	t.client, err = inv.Client(s)
	return t, err
}

// columns are the columns of a table of changes.
func columns() []terminal.Column[mezu.Change] {
	value := func(v any) string {
		if v == nil {
			return ""
		}
		if s, ok := v.(string); ok {
			return s
		}
		data, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(data)
	}
	return []terminal.Column[mezu.Change]{
		{Head: "ACTION", Value: func(c mezu.Change) string { return string(c.Action) }},
		{Head: "WHAT", Rank: terminal.Name, Value: func(c mezu.Change) string { return c.Path }},
		{Head: "BEFORE", Value: func(c mezu.Change) string { return value(c.Before) }},
		{Head: "AFTER", Value: func(c mezu.Change) string { return value(c.After) }},
	}
}

// show writes the answer to an apply.
func show(inv *invocation.Invocation, out api.ApplyResponse) error {
	for _, w := range out.Warnings {
		inv.Warnf("%s", terminal.Clean(w))
	}
	if inv.Flags.Output != terminal.Table {
		return inv.WriteValue(inv.Flags.Output, out)
	}
	if len(out.Changes) == 0 {
		return nil
	}
	if err := terminal.WriteList(inv.Streams, inv.Flags.Output, out.Changes, columns()); err != nil {
		return err
	}
	if out.Omitted > 0 {
		inv.Sayf("and %d more changes", out.Omitted)
	}
	return nil
}

// effective counts the changes that change anything.
func effective(out api.ApplyResponse) (changes, kept int) {
	for _, c := range out.Changes {
		if c.Action == mezu.ChangeKeep {
			kept++
		}
	}
	return len(out.Changes) + out.Omitted - kept, kept
}

// upstreams are the upstreams that the routes of a manifest name.
func upstreams(m *mezu.Manifest) string {
	seen := map[string]bool{}
	var out []string
	for _, e := range m.Environments {
		for _, u := range e.Upstreams() {
			if !seen[u] {
				seen[u] = true
				out = append(out, u)
			}
		}
	}
	return strings.Join(sorted(out), ", ")
}
