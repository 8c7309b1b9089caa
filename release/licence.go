package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// licenceElsewhere names the file that says the licence of a module which has no file of its
// own for it.
func licenceElsewhere() map[string]string {
	return map[string]string{
		"github.com/mattn/go-localereader": "README.md", // "License: MIT", and the author
	}
}

// linked is a module of which a program has packages.
type linked struct {
	path, version, dir string
	folders            map[string]bool // of these packages
}

func (l linked) String() string { return strings.TrimSpace(l.path + " " + l.version) }

// licences are the texts of all licences of what each build links, on any of its platforms.
func licences(ctx context.Context, root string, builds []build) (map[string][]byte, error) {
	goroot, err := goEnv(ctx, root, "GOROOT")
	if err != nil {
		return nil, err
	}
	modules := map[string]map[string]linked{}
	for _, b := range builds {
		modules[b.ID] = map[string]linked{"Go": {path: "Go", version: runtime.Version(), dir: goroot, folders: map[string]bool{goroot: true}}}
	}
	for _, goos := range builds[0].GOOS {
		for _, goarch := range builds[0].GOARCH {
			if err := addModules(ctx, root, builds, goos, goarch, modules); err != nil {
				return nil, err
			}
		}
	}
	out := map[string][]byte{}
	for _, b := range builds {
		if out[b.ID], err = licenceText(b.Binary, modules[b.ID]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// licenceText is the text of the licences of one program.
func licenceText(program string, modules map[string]linked) ([]byte, error) {
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
	fmt.Fprintf(&out, "%s is built from these modules of others, under these licences.\n", program)
	for _, text := range texts {
		fmt.Fprintf(&out, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(users[text], "\n"), text)
	}
	return out.Bytes(), nil
}

// listedPackage is what go list says of a package.
type listedPackage struct {
	ImportPath, Dir string
	Deps            []string
	DepOnly         bool
	Module          *struct {
		Path, Version, Dir string
		Main               bool
	}
}

// addModules adds the modules that the builds link on one platform.
func addModules(ctx context.Context, root string, builds []build, goos, goarch string, modules map[string]map[string]linked) error {
	args := []string{"list", "-deps", "-json=ImportPath,Dir,Deps,DepOnly,Module"}
	for _, b := range builds {
		args = append(args, b.Main)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = root, buildEnv(builds[0], goos, goarch)
	out, err := output(cmd)
	if err != nil {
		return err
	}
	packages := map[string]listedPackage{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("reading what go list says: %w", err)
		}
		packages[p.ImportPath] = p
	}
	for _, b := range builds {
		for _, program := range packages {
			if program.DepOnly || !strings.HasSuffix(program.ImportPath, strings.TrimPrefix(b.Main, ".")) {
				continue
			}
			for _, path := range program.Deps {
				// A package of the standard library has no module, and ours is no other's.
				if p := packages[path]; p.Module != nil && !p.Module.Main {
					p.addTo(modules[b.ID])
				}
			}
		}
	}
	return nil
}

// addTo adds the module of a package.
func (p listedPackage) addTo(modules map[string]linked) {
	m, ok := modules[p.Module.Path]
	if !ok {
		m = linked{path: p.Module.Path, version: p.Module.Version, dir: p.Module.Dir, folders: map[string]bool{p.Module.Dir: true}}
		modules[p.Module.Path] = m
	}
	// A folder on the way to a package may have a licence of its own.
	for dir := p.Dir; len(dir) > len(m.dir); dir = filepath.Dir(dir) {
		m.folders[dir] = true
	}
}

// licenceFiles are the files of licences of a module, in order. A module without any is
// not released.
func (l linked) licenceFiles() ([]string, error) {
	var out []string
	if name, ok := licenceElsewhere()[l.path]; ok {
		out = append(out, filepath.Join(l.dir, name))
	}
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
