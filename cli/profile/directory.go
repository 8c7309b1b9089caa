package profile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/mezusphere/mezu"
)

// FileName is the declarative file that a directory may hold.
const FileName = "mezu.yaml"

// maxDirectoryFile is what mezu apply takes (manifest.MaxSize).
const maxDirectoryFile = 16 << 20

// Directory is the part of mezu.yaml that is a default for commands: the names of an
// organization and a project. Either may be empty.
type Directory struct {
	Path                  string // of the file
	Organization, Project string
}

// Find looks for mezu.yaml in dir and its parents and reads its two names. When
// there is none, the result is the zero Directory. The rest of the file is not
// judged here: commands that apply it do.
func Find(dir string) (Directory, error) {
	for {
		path := filepath.Join(dir, FileName)
		data, err := readBounded(path, maxDirectoryFile)
		if err == nil {
			return readDirectory(path, string(data))
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return Directory{}, fmt.Errorf("reading %s: %w", path, err)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return Directory{}, nil
		}
		dir = parent
	}
}

// readDirectory reads the two names from lines that begin with their key in column 1, which
// in YAML's block style are the lines of the top level. It uses no YAML parser, because every
// command reads this file, and whoever wrote the file controls how much time and depth a
// parser needs.
func readDirectory(path, text string) (Directory, error) {
	d := Directory{Path: path}
	number := 0
	for line := range strings.Lines(text) {
		number++
		key, value, _ := strings.Cut(line, ":")
		var into *string
		switch strings.TrimRight(key, " ") {
		case "organization":
			into = &d.Organization
		case "project":
			into = &d.Project
		default:
			continue
		}
		name := scalar(value)
		if *into != "" || mezu.ValidateName("", name) != nil {
			return Directory{}, mezu.Invalid(strings.TrimSpace(key), "%s:%d:1: one name is expected", path, number)
		}
		*into = name
	}
	return d, nil
}

// scalar is the value after a key, without comment and quotes.
func scalar(s string) string {
	if i := strings.Index(s, " #"); i >= 0 {
		s = s[:i]
	}
	s = strings.TrimSpace(s)
	if n := len(s); n >= 2 && (s[0] == '"' || s[0] == '\'') && s[n-1] == s[0] {
		s = s[1 : n-1]
	}
	return s
}
