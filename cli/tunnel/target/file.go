package target

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/tunnel/memory"
	"github.com/mezusphere/mezu/manifest"
)

// File are the tunnels of one mezu.yaml.
type File struct {
	// Path is the file's; its folder is what consent is about.
	Path    string
	Targets []Target
}

// Read finds mezu.yaml in the working directory or above it, and reads its tunnels. If there is
// none, or it has none, the file has no targets.
func Read(ctx context.Context, dir string) (File, error) {
	found, err := profile.Find(dir)
	if err != nil || found.Path == "" {
		return File{}, err
	}
	read, err := manifest.ReadAlone(ctx, found.Path, found.Path)
	if err != nil {
		return File{}, err
	}
	f, folder := File{Path: found.Path}, filepath.Dir(found.Path)
	for _, name := range slices.Sorted(maps.Keys(read.Tunnels)) {
		said := read.Tunnels[name]
		t := Target{Name: name, Environment: said.Environment}
		if err := t.set(folder, string(said.To)); err != nil {
			wrong := &mezu.Error{Code: mezu.CodeInvalid, Detail: err.Error()}
			return File{}, read.ExplainTunnel(name, "to", wrong)
		}
		t.HostHeader, t.Listing, t.SPA, t.Insecure = said.HostHeader, said.Listing, said.SPA, said.Insecure
		if t.UpstreamCA = said.UpstreamCA; t.UpstreamCA != "" && !filepath.IsAbs(t.UpstreamCA) {
			t.UpstreamCA = filepath.Join(folder, t.UpstreamCA)
		}
		if err := t.Validate(); err != nil {
			var e *mezu.Error
			field := ""
			if errors.As(err, &e) {
				plain := *e
				field, plain.Field = e.Field, ""
				err = &plain
			}
			return File{}, read.ExplainTunnel(name, cmp.Or(map[string]string{"target": "to"}[field], field, "to"), err)
		}
		t.Shown = Show(dir, t.Target)
		f.Targets = append(f.Targets, t)
	}
	return f, nil
}

// Beyond are the targets that somebody has to agree to: whoever wrote the file may not be whoever
// runs it. What is on this machine's loopback, or below the file's own folder, needs no consent.
func (f File) Beyond() []Target {
	return slices.DeleteFunc(slices.Clone(f.Targets), func(t Target) bool {
		return t.Loopback() || t.Folder() && below(filepath.Dir(f.Path), t.Target)
	})
}

// below reports whether a folder is dir or lies in it, wherever links lead.
func below(dir, folder string) bool {
	real, err1 := filepath.EvalSymlinks(folder)
	top, err2 := filepath.EvalSymlinks(dir)
	if err1 != nil || err2 != nil {
		return false
	}
	way, err := filepath.Rel(top, real)
	return err == nil && filepath.IsLocal(way)
}

// Consent makes sure that somebody agreed to where the file leads. What was allowed by
// --allow-target, or once before in this folder, is not asked about.
func (f File) Consent(ctx context.Context, inv *invocation.Invocation, allowed []string) error {
	beyond := f.Beyond()
	if len(beyond) == 0 {
		return nil
	}
	folder, kept := filepath.Dir(f.Path), memory.Store{Dir: inv.State}
	known := append(kept.Load().Targets[folder], allowed...)
	beyond = slices.DeleteFunc(beyond, func(t Target) bool { return slices.Contains(known, t.Target) })
	if len(beyond) == 0 {
		return nil
	}
	names := make([]string, len(beyond))
	flags := make([]string, len(beyond))
	for i, t := range beyond {
		names[i] = t.Name + " to " + terminal.Clean(t.Target)
		flags[i] = "--allow-target " + terminal.Clean(t.Target)
	}
	what := terminal.Clean(f.Path) + " leads beyond this machine: " + strings.Join(names, ", ")
	if !inv.CanPrompt() {
		e := exit.Usagef("%s", what)
		e.Hint = strings.Join(flags, " ")
		return e
	}
	answer, err := inv.Ask(ctx, what+"\nWhoever has the address reaches that. Allow it, now and later in this folder? [y/N]")
	if err != nil {
		return err
	}
	if answer = strings.ToLower(answer); answer != "y" && answer != "yes" {
		return &mezu.Error{Code: mezu.CodeForbidden, Detail: "not allowed, and nothing was opened", Hint: "mezu tunnel PORT opens one tunnel of your own"}
	}
	return kept.Update(ctx, func(m *memory.Memory) {
		for _, t := range beyond {
			m.Targets[folder] = append(m.Targets[folder], t.Target)
		}
	})
}

// Allowed reads the values of --allow-target in the form that targets have.
func Allowed(dir string, values []string) ([]string, error) {
	var out []string
	for _, v := range values {
		t := Target{}
		if err := t.set(dir, v); err != nil {
			return nil, exit.Usagef("--allow-target: %v", err)
		}
		out = append(out, t.Target)
	}
	return out, nil
}
