package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
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
)

// entry is a file of an archive.
type entry struct {
	name, path   string
	owner, group string
	mode         fs.FileMode
	at           time.Time
}

// write makes the archive of one binary in dist and gives its name.
func (a archive) write(root, dist string, b binary, f fields) (string, error) {
	name, err := f.apply(a.NameTemplate)
	if err != nil {
		return "", err
	}
	format := a.Formats[0]
	for _, o := range a.FormatOverrides {
		if o.GOOS == b.goos && len(o.Formats) == 1 {
			format = o.Formats[0]
		}
	}
	program, err := newEntry(b.name, b.path, a.BuildsInfo, f)
	if err != nil {
		return "", err
	}
	entries := []entry{program}
	for _, file := range a.Files {
		paths, err := matches(root, file.Src)
		if err != nil {
			return "", err
		}
		for _, p := range paths {
			as := path.Join(file.Dst, p)
			if file.StripParent {
				as = path.Join(file.Dst, path.Base(p))
			}
			e, err := newEntry(as, filepath.Join(root, filepath.FromSlash(p)), file.Info, f)
			if err != nil {
				return "", err
			}
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries[1:], func(a, b entry) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(entries); i++ {
		if entries[i].name == entries[i-1].name {
			return "", fmt.Errorf("%s is named twice", entries[i].name)
		}
	}
	pack, ok := map[string]func(io.Writer, []entry) error{"tar.gz": writeTarGz, "zip": writeZip}[format]
	if !ok {
		return "", fmt.Errorf("the format %s is not known", format)
	}
	name += "." + format
	return name, create(filepath.Join(dist, name), func(w io.Writer) error { return pack(w, entries) })
}

func newEntry(name, path string, info fileInfo, f fields) (entry, error) {
	at, err := f.time(info.MTime)
	return entry{name: name, path: path, owner: info.Owner, group: info.Group, mode: info.Mode, at: at}, err
}

// create writes a file by a function.
func create(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

func writeTarGz(w io.Writer, entries []entry) error {
	zw, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(zw)
	for _, e := range entries {
		err := e.copyTo(func(size int64) (io.Writer, error) {
			return tw, tw.WriteHeader(&tar.Header{
				Name: e.name, Typeflag: tar.TypeReg, Size: size, Mode: int64(e.mode.Perm()),
				Uname: e.owner, Gname: e.group, ModTime: e.at, Format: tar.FormatUSTAR,
			})
		})
		if err != nil {
			return err
		}
	}
	return errors.Join(tw.Close(), zw.Close())
}

func writeZip(w io.Writer, entries []entry) error {
	zw := zip.NewWriter(w)
	for _, e := range entries {
		err := e.copyTo(func(int64) (io.Writer, error) {
			h := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: e.at}
			h.SetMode(e.mode.Perm())
			return zw.CreateHeader(h)
		})
		if err != nil {
			return err
		}
	}
	return zw.Close()
}

// copyTo copies the file to what begin gives for its size.
func (e entry) copyTo(begin func(size int64) (io.Writer, error)) error {
	f, err := os.Open(e.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no plain file", e.path)
	}
	w, err := begin(info.Size())
	if err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}

// errNoProgram is of an archive in which nothing is built by Go.
var errNoProgram = errors.New("holds no program built by Go")

// openProgram gives the first file of an archive, which is its program, to use.
func openProgram(archive string, use func(name string, data []byte, at time.Time) error) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	if strings.HasSuffix(archive, ".zip") {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		zr, err := zip.NewReader(f, info.Size())
		if err != nil {
			return err
		}
		for _, e := range zr.File {
			if isProgram(e.Name, e.Mode()) {
				r, err := e.Open()
				if err != nil {
					return err
				}
				data, err := io.ReadAll(r)
				if err := errors.Join(err, r.Close()); err != nil {
					return err
				}
				return use(e.Name, data, e.Modified.UTC())
			}
		}
		return fmt.Errorf("%s %w", archive, errNoProgram)
	}
	zr, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%s %w", archive, errNoProgram)
		}
		if err != nil {
			return err
		}
		if isProgram(h.Name, h.FileInfo().Mode()) {
			data, err := io.ReadAll(tr)
			if err != nil {
				return err
			}
			return use(h.Name, data, h.ModTime.UTC())
		}
	}
}

func isProgram(name string, mode fs.FileMode) bool {
	return mode.IsRegular() && mode.Perm()&0o111 != 0 && path.Dir(name) == "."
}

// sums writes the digest of each file into SHA256SUMS.
func (s *snapshot) sums(context.Context) error {
	slices.Sort(s.listed)
	var b strings.Builder
	for _, name := range s.listed {
		sum, err := digest(filepath.Join(s.dist, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s  %s\n", sum, name)
	}
	return writeFile(filepath.Join(s.dist, s.config.Checksum.NameTemplate), []byte(b.String()))
}
