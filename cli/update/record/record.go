// Package record is what install.sh notes of an installation and "mezu update" goes on with: where
// the program came from, whose signatures count, and which files there are.
//
// What may not live here: getting or replacing anything. It imports namedfile; update imports it, and
// install.sh writes and reads the same lines.
package record

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mezusphere/mezu/namedfile"
)

// Record is a file of lines, each a word, a blank, and the rest: a shell reads and writes it.
type Record struct {
	// Version is that of the release, such as v1.2.3.
	Version string
	// Source is where the release is: an https address or the path of a folder.
	Source string
	// Checkout is the path of the checkout that the program was built from, if that is where it
	// came from; then there is no Source.
	Checkout string
	// Unsigned says that whoever installed it did without a signature.
	Unsigned bool
	// Keys are lines of an allowed_signers file, where it was not the key that the script has.
	Keys []string
	// Programs are the paths of the executables, the last one installed first.
	Programs []string
	// Files are those beside, and Dirs the folders that were made for them, outer ones first.
	Files, Dirs []string
}

const (
	// first is the first line: another one is of a later script, whose lines may mean more.
	first = "mezu-install 1"
	// maxFile bounds the file, some hundred paths, and one of keys.
	maxFile = 1 << 20
)

// Path is where the record of a program is: below $XDG_DATA_HOME, or ~/.local/share.
func Path(getenv func(string) string, program string) (string, error) {
	data, err := DataHome(getenv)
	if err != nil {
		return "", err
	}
	return filepath.Join(data, "mezu", "install", program), nil
}

// DataHome is where this person's programs keep what comes with them.
func DataHome(getenv func(string) string) (string, error) {
	if data := getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
		return filepath.Clean(data), nil
	}
	home := getenv("HOME")
	if !filepath.IsAbs(home) {
		return "", errors.New("there is no home directory: set HOME")
	}
	return filepath.Join(home, ".local", "share"), nil
}

// Read reads the record at a path. If there is none, the error is fs.ErrNotExist.
func Read(path string) (*Record, error) {
	data, err := namedfile.Read(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("reading what install.sh has noted: %w", err)
	}
	r, err := parse(string(data))
	if err != nil {
		return nil, fmt.Errorf("%s is not what install.sh writes: %w", path, err)
	}
	return r, nil
}

// ReadKeys reads the lines of an allowed_signers file as a record keeps them.
func ReadKeys(path string) ([]string, error) {
	data, err := namedfile.Read(path, maxFile)
	if err != nil {
		return nil, err
	}
	var keys []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(strings.ReplaceAll(line, "\t", " ")); line != "" && !strings.HasPrefix(line, "#") {
			keys = append(keys, line)
		}
	}
	return keys, nil
}

func parse(text string) (*Record, error) {
	r := &Record{}
	if !strings.HasSuffix(text, "\n") {
		return nil, errors.New("it is cut")
	}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if i == 0 {
			if line != first {
				return nil, fmt.Errorf("it does not begin with %q", first)
			}
			continue
		}
		word, value, ok := strings.Cut(line, " ")
		if !ok || value == "" || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' }) {
			return nil, fmt.Errorf("line %d is wrong", i+1)
		}
		switch word {
		case "version":
			r.Version = value
		case "source":
			r.Source = value
		case "checkout":
			r.Checkout = value
		case "unsigned":
			r.Unsigned = true
		case "key":
			r.Keys = append(r.Keys, value)
		case "program", "file", "dir":
			if !filepath.IsAbs(value) {
				return nil, fmt.Errorf("line %d has no absolute path", i+1)
			}
			list := map[string]*[]string{"program": &r.Programs, "file": &r.Files, "dir": &r.Dirs}[word]
			*list = append(*list, value)
		default:
			return nil, fmt.Errorf("line %d has the word %q", i+1, word)
		}
	}
	return r, nil
}

// Text is the record as its file has it.
func (r *Record) Text() ([]byte, error) {
	lines := []string{first}
	var broken error
	add := func(word string, values ...string) {
		for _, v := range values {
			if strings.Contains(v, "\n") {
				broken = fmt.Errorf("noting what was installed: a %s with a line end", word)
			}
			if v != "" {
				lines = append(lines, word+" "+v)
			}
		}
	}
	add("version", r.Version)
	add("source", r.Source)
	add("checkout", r.Checkout)
	if r.Unsigned {
		add("unsigned", "yes")
	}
	add("key", r.Keys...)
	add("program", r.Programs...)
	add("file", r.Files...)
	add("dir", r.Dirs...)
	if broken != nil {
		return nil, broken
	}
	text := strings.Join(lines, "\n") + "\n"
	if _, err := parse(text); err != nil {
		return nil, fmt.Errorf("noting what was installed: %w", err)
	}
	return []byte(text), nil
}

// Has reports whether a program is one of the record's, whatever links lead to it.
func (r *Record) Has(program string) bool {
	return slices.ContainsFunc(r.Programs, func(p string) bool {
		if p == program {
			return true
		}
		a, err1 := os.Stat(p)
		b, err2 := os.Stat(program)
		return err1 == nil && err2 == nil && os.SameFile(a, b)
	})
}

// None reports whether an error says that there is no record.
func None(err error) bool { return errors.Is(err, fs.ErrNotExist) }
