package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// imageSuffix ends the name of an image's file: an OCI layout in a tar file, for all
// architectures, which podman, skopeo and docker load.
const imageSuffix = "_image.tar"

// images makes those of the Dockerfiles.
func (s *snapshot) images(context.Context) error {
	for _, conf := range s.config.Dockers {
		index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
		made := 0
		for _, platform := range conf.Platforms {
			goos, goarch, _ := strings.Cut(platform, "/")
			i := slices.IndexFunc(s.binaries, func(b binary) bool { return b.goos == goos && b.goarch == goarch && b.is(conf.IDs) })
			if i < 0 {
				continue // the platform was not asked for
			}
			img, err := conf.build(s.root, s.binaries[i], s.commit.at, s.fields)
			if err != nil {
				return fmt.Errorf("image %s: %w", conf.ID, err)
			}
			index = mutate.AppendManifests(index, mutate.IndexAddendum{
				Add:        plainImage{img},
				Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: goos, Architecture: goarch}},
			})
			made++
		}
		if made == 0 {
			continue
		}
		refs, err := conf.references(s.fields)
		if err != nil {
			return err
		}
		name := conf.ID + imageSuffix
		if err := writeLayout(filepath.Join(s.dist, name), index, refs, s.commit.at); err != nil {
			return fmt.Errorf("image %s: %w", conf.ID, err)
		}
		s.listed = append(s.listed, name)
	}
	return nil
}

// plainImage is one that indexes list as an image. Without it they have a type of artifact,
// which is for what is no image.
type plainImage struct{ v1.Image }

// ArtifactType is asked for by the library.
func (plainImage) ArtifactType() (string, error) { return "", nil }

// references are the names under which the image is published.
func (d docker) references(f fields) ([]string, error) {
	var out []string
	for _, image := range d.Images {
		for _, tag := range d.Tags {
			ref, err := f.apply(image + ":" + tag)
			if err != nil {
				return nil, err
			}
			out = append(out, ref)
		}
	}
	return out, nil
}

// build does what the Dockerfile says, for one platform.
func (d docker) build(root string, b binary, at time.Time, f fields) (v1.Image, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(d.Dockerfile)))
	if err != nil {
		return nil, err
	}
	steps, err := parseDockerfile(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Dockerfile, err)
	}
	labels := map[string]string{}
	for k, v := range d.Labels {
		if labels[k], err = f.apply(v); err != nil {
			return nil, err
		}
	}
	var layers []mutate.Addendum
	for _, c := range steps.copies {
		data, err := c.layer(root, d.ExtraFiles, b, at)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.Dockerfile, err)
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }, tarball.WithMediaType(types.OCILayer))
		if err != nil {
			return nil, err
		}
		layers = append(layers, mutate.Addendum{Layer: layer, MediaType: types.OCILayer, History: v1.History{Created: v1.Time{Time: at}, CreatedBy: c.text}})
	}
	img, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), layers...)
	if err != nil {
		return nil, err
	}
	conf, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	conf = conf.DeepCopy()
	conf.OS, conf.Architecture, conf.Created = b.goos, b.goarch, v1.Time{Time: at}
	conf.Config = v1.Config{User: steps.user, Env: steps.env, Entrypoint: steps.entrypoint, Labels: labels}
	return mutate.ConfigFile(img, conf)
}

// layer is what one COPY adds, as a tar file.
func (c copyStep) layer(root string, extra []string, b binary, at time.Time) ([]byte, error) {
	platform := b.goos + "/" + b.goarch
	var out bytes.Buffer
	w := layerWriter{tw: tar.NewWriter(&out), at: at, uid: c.uid, gid: c.gid, mode: c.mode, made: map[string]bool{}}
	into := strings.HasSuffix(c.to, "/")
	for _, from := range c.from {
		from = strings.ReplaceAll(from, "$TARGETPLATFORM", platform)
		if from == platform+"/"+b.name {
			if err := w.file(target(c.to, into, b.name), b.path, 0o755); err != nil {
				return nil, err
			}
			continue
		}
		from = path.Clean(from)
		// goreleaser copies nothing else to where docker looks.
		if !slices.ContainsFunc(extra, func(e string) bool { return from == e || strings.HasPrefix(from, e+"/") }) {
			return nil, fmt.Errorf("%s is not below extra_files", from)
		}
		src := filepath.Join(root, filepath.FromSlash(from))
		info, err := os.Stat(src)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			if err := w.file(target(c.to, into, path.Base(from)), src, 0o644); err != nil {
				return nil, err
			}
			continue
		}
		err = filepath.WalkDir(src, func(p string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(src, p)
			if err != nil {
				return err
			}
			to := path.Join(c.to, filepath.ToSlash(rel))
			if e.IsDir() {
				return w.folder(to)
			}
			return w.file(to, p, 0o644)
		})
		if err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.tw.Close()
}

// target is where one file is copied to.
func target(to string, into bool, name string) string {
	if into {
		return path.Join(to, name)
	}
	return to
}

// layerWriter writes a layer: each folder once, before what is in it.
type layerWriter struct {
	tw       *tar.Writer
	at       time.Time
	uid, gid int
	mode     int64 // of everything; 0 is the usual one of each
	made     map[string]bool
}

func (w layerWriter) folder(name string) error {
	name = strings.Trim(name, "/")
	if name == "" || name == "." || w.made[name] {
		return nil
	}
	if err := w.parents(name); err != nil {
		return err
	}
	w.made[name] = true
	return w.tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: cmp.Or(w.mode, 0o755), Uid: w.uid, Gid: w.gid, ModTime: w.at, Format: tar.FormatUSTAR})
}

// parents makes the folders that a name is in. They are root's: what is copied belongs to
// somebody, and not the way to it.
func (w layerWriter) parents(name string) error {
	above := w
	above.uid, above.gid, above.mode = 0, 0, 0
	if dir := path.Dir(name); dir != "." {
		return above.folder(dir)
	}
	return nil
}

func (w layerWriter) file(name, from string, mode int64) error {
	name = strings.Trim(name, "/")
	if err := w.parents(name); err != nil {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: cmp.Or(w.mode, mode), Uid: w.uid, Gid: w.gid, ModTime: w.at, Format: tar.FormatUSTAR}
	if err := w.tw.WriteHeader(h); err != nil {
		return err
	}
	_, err = w.tw.Write(data)
	return err
}

// writeLayout writes an OCI layout with one index into a tar file.
func writeLayout(to string, index v1.ImageIndex, refs []string, at time.Time) (err error) {
	dir, err := os.MkdirTemp("", "mezu-image-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		// docker reads the first, podman and skopeo the second.
		_, tag, _ := cutLast(ref, ":")
		if err := l.AppendIndex(index, layout.WithAnnotations(map[string]string{"io.containerd.image.name": ref, "org.opencontainers.image.ref.name": tag})); err != nil {
			return err
		}
	}
	var names []string
	err = filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, p)
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(names)
	return create(to, func(out io.Writer) error {
		w := layerWriter{tw: tar.NewWriter(out), at: at, made: map[string]bool{}}
		for _, p := range names {
			rel, err := filepath.Rel(dir, p)
			if err != nil {
				return err
			}
			if err := w.file(filepath.ToSlash(rel), p, 0o644); err != nil {
				return err
			}
		}
		return w.tw.Close()
	})
}
