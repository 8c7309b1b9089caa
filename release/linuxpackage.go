package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"time"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/apk"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	"github.com/goreleaser/nfpm/v2/rpm"
)

// pack makes the packages of Linux distributions.
func (s *snapshot) pack(context.Context) error {
	for _, conf := range s.config.NFPMs {
		for _, b := range s.binaries {
			if b.goos != "linux" || !b.is(conf.IDs) {
				continue
			}
			for _, format := range conf.Formats {
				name, err := conf.write(s.root, s.dist, b, format, s.version, s.fields)
				if err != nil {
					return fmt.Errorf("package %s as %s: %w", conf.ID, format, err)
				}
				s.listed = append(s.listed, name)
			}
		}
	}
	return nil
}

// packager gives what makes packages of one format.
func packager(format string) (nfpm.Packager, error) {
	switch format {
	case "deb":
		return deb.Default, nil
	case "rpm":
		return rpm.DefaultRPM, nil
	case "apk":
		return apk.Default, nil
	}
	return nil, fmt.Errorf("the format %s is not known", format)
}

// write makes one package in dist and gives its name.
func (n nfpms) write(root, dist string, b binary, format, version string, f fields) (string, error) {
	p, err := packager(format)
	if err != nil {
		return "", err
	}
	at, err := f.time(n.MTime)
	if err != nil {
		return "", err
	}
	contents, err := n.contents(root, b, format, at)
	if err != nil {
		return "", err
	}
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: n.PackageName, Arch: b.goarch, Platform: b.goos, Version: version,
		Section: n.Section, Priority: n.Priority, Maintainer: n.Maintainer, Description: n.Description,
		Vendor: n.Vendor, Homepage: n.Homepage, License: n.License, MTime: at, DisableGlobbing: true,
		Overridables: nfpm.Overridables{
			Contents: contents, Umask: 0o022, RPM: nfpm.RPM{BuildHost: n.RPM.BuildHost},
			// As goreleaser names it, so that both make the same package.
			Deb: nfpm.Deb{ArchVariant: map[string]string{"amd64": "v1"}[b.goarch]},
		},
	})
	name, err := f.with(b.fields()).with(fields{"PackageName": n.PackageName}).apply(n.FileNameTemplate)
	if err != nil {
		return "", err
	}
	name += "." + format
	return name, create(filepath.Join(dist, name), func(w io.Writer) error { return p.Package(info, w) })
}

// contents are the files of a package, all of them of root and of the commit's time.
func (n nfpms) contents(root string, b binary, format string, at time.Time) (files.Contents, error) {
	of := func(src, dst string, mode fs.FileMode) *files.Content {
		return &files.Content{Source: src, Destination: dst, FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: mode, MTime: at}}
	}
	out := files.Contents{of(b.path, path.Join(n.Bindir, b.name), 0o755)}
	for _, c := range n.Contents {
		if c.Packager != "" && c.Packager != format {
			continue
		}
		paths, err := matches(root, c.Src)
		if err != nil {
			return nil, err
		}
		for _, p := range paths {
			dst := c.Dst
			if p != c.Src { // a pattern: Dst is a folder
				dst = path.Join(c.Dst, path.Base(p))
			}
			out = append(out, of(filepath.Join(root, filepath.FromSlash(p)), dst, 0o644))
		}
	}
	return out, nil
}
