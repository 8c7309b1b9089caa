package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// snapshot makes a release in dist.
type snapshot struct {
	root, dist, key, version string
	platforms                []string // OS/ARCH; all if empty
	getenv                   func(string) string
	stderr                   io.Writer

	config   *config
	commit   commit
	fields   fields
	binaries []binary
	archives []packed
	// listed are the names of files that SHA256SUMS names.
	listed []string
}

// packed is an archive of one binary.
type packed struct {
	id   string
	name string
	binary
}

// make runs all steps.
func (s *snapshot) make(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		s.prepare, s.compile, s.archive, s.list, s.pack, s.images, s.formulas, s.manifests, s.extras, s.sums, s.sign,
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	s.say("%s is in %s", s.version, s.dist)
	return nil
}

// say tells whoever waits what is done.
func (s *snapshot) say(format string, args ...any) { fmt.Fprintf(s.stderr, format+"\n", args...) }

// prepare reads what is to be made, empties dist and writes the inputs.
func (s *snapshot) prepare(ctx context.Context) error {
	var err error
	if s.config, err = readConfig(s.root); err != nil {
		return err
	}
	if s.commit, err = lastCommit(ctx, s.root, s.getenv); err != nil {
		return err
	}
	if s.version == "" {
		if s.version, err = s.commit.version(s.config.Snapshot.VersionTemplate); err != nil {
			return err
		}
	}
	s.version = strings.TrimPrefix(s.version, "v")
	s.fields = s.commit.fields(s.version)
	if s.commit.changed {
		s.say("there are changes that are in no commit: this is no build of %s", s.commit.id)
	}
	// A folder that somebody named could be any.
	if s.dist == filepath.Join(s.root, "dist") {
		if err := os.RemoveAll(s.dist); err != nil {
			return err
		}
	}
	if entries, err := os.ReadDir(s.dist); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty", s.dist)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(s.dist, 0o755); err != nil {
		return err
	}
	s.say("version %s; collecting licences", s.version)
	return writeInputs(ctx, s.root, s.config, s.version)
}

// compile builds every program for every platform.
func (s *snapshot) compile(ctx context.Context) error {
	for _, b := range s.config.Builds {
		for _, goos := range b.GOOS {
			for _, goarch := range b.GOARCH {
				if len(s.platforms) > 0 && !slices.Contains(s.platforms, goos+"/"+goarch) {
					continue
				}
				s.say("building %s for %s/%s", b.Binary, goos, goarch)
				out, err := b.compile(ctx, s.root, filepath.Join(s.dist, "build"), goos, goarch, s.fields)
				if err != nil {
					return err
				}
				s.binaries = append(s.binaries, out)
			}
		}
	}
	if len(s.binaries) == 0 {
		return fmt.Errorf("nothing is built for %q", s.platforms)
	}
	return nil
}

// archive packs each program with what belongs to it.
func (s *snapshot) archive(context.Context) error {
	for _, a := range s.config.Archives {
		for _, b := range s.binaries {
			if !b.is(a.IDs) {
				continue
			}
			name, err := a.write(s.root, s.dist, b, s.fields.with(b.fields()))
			if err != nil {
				return fmt.Errorf("archive %s: %w", a.ID, err)
			}
			s.archives = append(s.archives, packed{id: a.ID, name: name, binary: b})
			s.listed = append(s.listed, name)
		}
	}
	return nil
}

// list writes what is linked into the program of each archive.
func (s *snapshot) list(context.Context) error {
	for _, conf := range s.config.SBOMs {
		for _, a := range s.archives {
			name, err := s.fields.with(a.fields()).with(fields{"ArtifactName": a.name}).apply(conf.Documents[0])
			if err != nil {
				return err
			}
			if err := archiveSBOM(filepath.Join(s.dist, a.name), filepath.Join(s.dist, name), s.version); err != nil {
				return err
			}
			s.listed = append(s.listed, name)
		}
	}
	return nil
}

// extras copies what is released as it is.
func (s *snapshot) extras(context.Context) error {
	copyTo := func(extras []extra, listed bool) error {
		for _, e := range extras {
			paths, err := matches(s.root, e.Glob)
			if err != nil {
				return err
			}
			for _, p := range paths {
				data, err := os.ReadFile(filepath.Join(s.root, filepath.FromSlash(p)))
				if err != nil {
					return err
				}
				name := filepath.Base(p)
				if err := writeFile(filepath.Join(s.dist, name), data); err != nil {
					return err
				}
				if listed {
					s.listed = append(s.listed, name)
				}
			}
		}
		return nil
	}
	return errors.Join(copyTo(s.config.Release.ExtraFiles, false), copyTo(s.config.Checksum.ExtraFiles, true))
}

// matches are the files that a pattern names, as slash paths below the root, in order. A
// pattern that names none is an error, so that a release misses nothing unnoticed.
func matches(root, pattern string) ([]string, error) {
	out, err := fs.Glob(os.DirFS(root), pattern)
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("%s names no file", pattern)
	}
	return out, err
}
