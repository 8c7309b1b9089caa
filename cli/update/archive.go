package update

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

const (
	// maxProgram bounds the program that is unpacked, some ten times as large as one is.
	maxProgram = 512 << 20
	// maxBeside bounds the files beside it together, and maxEntries their number: a hundred pages
	// of a manual.
	maxBeside  = 16 << 20
	maxEntries = 1000
)

// archiveName is that of the archive for a system, as releases have it.
func archiveName(system, architecture string) string {
	kind := ".tar.gz"
	if system == "windows" {
		kind = ".zip"
	}
	return "mezu_" + system + "_" + architecture + kind
}

// placeOf is where a file of an archive goes, below the folder for data of this person; "" if it
// goes nowhere.
func placeOf(name string) string {
	switch {
	case name == "mezu.bash":
		return "bash-completion/completions/mezu"
	case name == "_mezu":
		return "zsh/site-functions/_mezu"
	case name == "mezu.fish":
		return "fish/vendor_completions.d/mezu.fish"
	case strings.HasPrefix(name, "mezu") && strings.HasSuffix(name, ".1"):
		return "man/man1/" + name
	}
	return ""
}

// unpack writes the program of an archive to a file, and gives the files that have a place. Of a
// name in the archive the last part counts, so that none leads anywhere.
func unpack(archive *os.File, name string, program io.Writer) (map[string][]byte, error) {
	u := &unpacking{program: program, files: map[string][]byte{}, left: maxBeside}
	var err error
	if strings.HasSuffix(name, ".zip") {
		err = u.zip(archive)
	} else {
		err = u.tar(archive)
	}
	if err == nil && !u.taken {
		err = fmt.Errorf("%s holds no program", name)
	}
	return u.files, err
}

type unpacking struct {
	program io.Writer
	taken   bool
	files   map[string][]byte
	left    int64
	entries int
}

func (u *unpacking) tar(archive *os.File) error {
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return err
	}
	zr, err := gzip.NewReader(archive)
	if err != nil {
		return fmt.Errorf("reading the archive: %w", err)
	}
	defer zr.Close()
	tr := tar.NewReader(zr)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := u.take(h.Name, tr); err != nil {
			return err
		}
	}
}

func (u *unpacking) zip(archive *os.File) error {
	info, err := archive.Stat()
	if err != nil {
		return err
	}
	zr, err := zip.NewReader(archive, info.Size())
	if err != nil {
		return fmt.Errorf("reading the archive: %w", err)
	}
	for _, f := range zr.File {
		if !f.Mode().IsRegular() {
			continue
		}
		in, err := f.Open()
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		err = u.take(f.Name, in)
		in.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// take takes one file.
func (u *unpacking) take(name string, in io.Reader) error {
	if u.entries++; u.entries > maxEntries {
		return fmt.Errorf("the archive has over %d files", maxEntries)
	}
	switch base := path.Base(name); {
	case (name == "mezu" || name == "mezu.exe") && !u.taken:
		u.taken = true
		n, err := io.Copy(u.program, io.LimitReader(in, maxProgram+1))
		if err == nil && n > maxProgram {
			err = fmt.Errorf("the program is over %d bytes", maxProgram)
		}
		return err
	case placeOf(base) != "":
		data, err := io.ReadAll(io.LimitReader(in, u.left+1))
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		if u.left -= int64(len(data)); u.left < 0 {
			return fmt.Errorf("what is beside the program is over %d bytes", maxBeside)
		}
		u.files[base] = data
	}
	return nil
}
