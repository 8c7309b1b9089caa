package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// licenceFile is a file whose text goes with the code: a licence, or the notice that one
// asks to keep.
var licenceFile = regexp.MustCompile(`(?i)^((un)?licen[cs]e|copying|copyright|notice|patents)([-._].*)?$`)

// linked is a module of which a program has packages.
type linked struct {
	path, version, dir string
	folders            map[string]bool // of these packages
}

func (l linked) String() string { return strings.TrimSpace(l.path + " " + l.version) }

// licences is the text of all licences of what one build links, on any of its platforms.
func licences(ctx context.Context, root string, b build) ([]byte, error) {
	modules := map[string]linked{}
	for _, goos := range b.GOOS {
		for _, goarch := range b.GOARCH {
			if err := addModules(ctx, root, b, goos, goarch, modules); err != nil {
				return nil, err
			}
		}
	}
	goroot, err := goEnv(ctx, root, "GOROOT")
	if err != nil {
		return nil, err
	}
	modules["Go"] = linked{path: "Go", version: runtime.Version(), dir: goroot, folders: map[string]bool{goroot: true}}

	// Equal texts are printed once.
	users, texts := map[string][]string{}, []string{}
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		m := modules[name]
		files, err := m.licenceFiles()
		if err != nil {
			return nil, err
		}
		for _, path := range files {
			data, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			text := strings.TrimSpace(strings.ReplaceAll(string(data), "\r\n", "\n"))
			if users[text] == nil {
				texts = append(texts, text)
			}
			rel, err := filepath.Rel(m.dir, path)
			if err != nil {
				return nil, err
			}
			users[text] = append(users[text], m.String()+", "+filepath.ToSlash(rel))
		}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s is built from these modules of others, under these licences.\n", b.Binary)
	for _, text := range texts {
		fmt.Fprintf(&out, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(users[text], "\n"), text)
	}
	return out.Bytes(), nil
}

// addModules adds the modules that one platform links.
func addModules(ctx context.Context, root string, b build, goos, goarch string, modules map[string]linked) error {
	const format = "{{if not .Standard}}{{if not .Module.Main}}{{.Module.Path}}\t{{.Module.Version}}\t{{.Module.Dir}}\t{{.Dir}}{{end}}{{end}}"
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-f", format, b.Main)
	cmd.Dir, cmd.Env = root, buildEnv(b, goos, goarch)
	out, err := output(cmd)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(out)) {
		part := strings.Split(strings.TrimSpace(line), "\t")
		if len(part) != 4 {
			continue // of the standard library, or of this module
		}
		m, ok := modules[part[0]]
		if !ok {
			m = linked{path: part[0], version: part[1], dir: part[2], folders: map[string]bool{part[2]: true}}
			modules[part[0]] = m
		}
		// A folder on the way to a package may have a licence of its own.
		for dir := part[3]; len(dir) > len(m.dir); dir = filepath.Dir(dir) {
			m.folders[dir] = true
		}
	}
	return nil
}

// licenceFiles are the files of licences of a module, in order. A module without any is
// not released.
func (l linked) licenceFiles() ([]string, error) {
	var out []string
	for _, dir := range slices.Sorted(maps.Keys(l.folders)) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Type().IsRegular() && licenceFile.MatchString(e.Name()) && filepath.Ext(e.Name()) != ".go" {
				out = append(out, filepath.Join(dir, e.Name()))
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no licence in %s: may it be given to others?", l, l.dir)
	}
	return out, nil
}
