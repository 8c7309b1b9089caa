package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"
)

// configName is the description of a release, which goreleaser reads too.
const configName = "goreleaser.yaml"

// config is what this program knows of goreleaser.yaml. A field that it does not know is an
// error: nothing is described and then not made.
type config struct {
	Version     int       `yaml:"version"`
	ProjectName string    `yaml:"project_name"`
	Before      ignored   `yaml:"before"` // snapshot does the same by itself
	Snapshot    naming    `yaml:"snapshot"`
	Builds      []build   `yaml:"builds"`
	Archives    []archive `yaml:"archives"`
	NFPMs       []nfpms   `yaml:"nfpms"`
	SBOMs       []sboms   `yaml:"sboms"`
	Checksum    checksum  `yaml:"checksum"`
	Signs       []sign    `yaml:"signs"`
	Brews       []brew    `yaml:"brews"`
	Scoops      []scoop   `yaml:"scoops"`
	Dockers     []docker  `yaml:"dockers_v2"`
	Release     publish   `yaml:"release"`
	Changelog   ignored   `yaml:"changelog"` // there is none of a snapshot
}

// ignored is what only goreleaser does.
type ignored map[string]any

type naming struct {
	VersionTemplate string `yaml:"version_template"`
}

type build struct {
	ID           string   `yaml:"id"`
	Main         string   `yaml:"main"`
	Binary       string   `yaml:"binary"`
	Env          []string `yaml:"env"`
	Flags        []string `yaml:"flags"`
	LDFlags      []string `yaml:"ldflags"`
	ModTimestamp string   `yaml:"mod_timestamp"`
	GOOS         []string `yaml:"goos"`
	GOARCH       []string `yaml:"goarch"`
}

type archive struct {
	ID              string           `yaml:"id"`
	IDs             []string         `yaml:"ids"`
	NameTemplate    string           `yaml:"name_template"`
	Formats         []string         `yaml:"formats"`
	FormatOverrides []formatOverride `yaml:"format_overrides"`
	BuildsInfo      fileInfo         `yaml:"builds_info"`
	Files           []file           `yaml:"files"`
}

type formatOverride struct {
	GOOS    string   `yaml:"goos"`
	Formats []string `yaml:"formats"`
}

type file struct {
	Src         string   `yaml:"src"`
	Dst         string   `yaml:"dst"`
	StripParent bool     `yaml:"strip_parent"`
	Info        fileInfo `yaml:"info"`
}

type fileInfo struct {
	Owner string      `yaml:"owner"`
	Group string      `yaml:"group"`
	Mode  fs.FileMode `yaml:"mode"`
	MTime string      `yaml:"mtime"`
}

type nfpms struct {
	ID               string    `yaml:"id"`
	IDs              []string  `yaml:"ids"`
	PackageName      string    `yaml:"package_name"`
	FileNameTemplate string    `yaml:"file_name_template"`
	Formats          []string  `yaml:"formats"`
	Description      string    `yaml:"description"`
	Homepage         string    `yaml:"homepage"`
	Maintainer       string    `yaml:"maintainer"`
	Vendor           string    `yaml:"vendor"`
	License          string    `yaml:"license"`
	Section          string    `yaml:"section"`
	Priority         string    `yaml:"priority"`
	Bindir           string    `yaml:"bindir"`
	MTime            string    `yaml:"mtime"`
	RPM              rpmConfig `yaml:"rpm"`
	Contents         []content `yaml:"contents"`
}

type rpmConfig struct {
	BuildHost string `yaml:"buildhost"`
}

type content struct {
	Src      string `yaml:"src"`
	Dst      string `yaml:"dst"`
	Packager string `yaml:"packager"`
}

// sboms has a command for goreleaser, which is this program.
type sboms struct {
	Artifacts string   `yaml:"artifacts"`
	Documents []string `yaml:"documents"`
	Cmd       string   `yaml:"cmd"`
	Args      []string `yaml:"args"`
}

type checksum struct {
	NameTemplate string  `yaml:"name_template"`
	Algorithm    string  `yaml:"algorithm"`
	ExtraFiles   []extra `yaml:"extra_files"`
}

type extra struct {
	Glob string `yaml:"glob"`
}

type sign struct {
	Artifacts string   `yaml:"artifacts"`
	Cmd       string   `yaml:"cmd"`
	Args      []string `yaml:"args"`
	Signature string   `yaml:"signature"`
}

type brew struct {
	Name        string   `yaml:"name"`
	IDs         []string `yaml:"ids"`
	Repository  ignored  `yaml:"repository"` // it is published there
	Directory   string   `yaml:"directory"`
	Description string   `yaml:"description"`
	Homepage    string   `yaml:"homepage"`
	License     string   `yaml:"license"`
	URLTemplate string   `yaml:"url_template"`
	Install     string   `yaml:"install"`
	Test        string   `yaml:"test"`
}

type scoop struct {
	Name        string   `yaml:"name"`
	IDs         []string `yaml:"ids"`
	Repository  ignored  `yaml:"repository"`
	Description string   `yaml:"description"`
	Homepage    string   `yaml:"homepage"`
	License     string   `yaml:"license"`
	URLTemplate string   `yaml:"url_template"`
}

type docker struct {
	ID         string            `yaml:"id"`
	IDs        []string          `yaml:"ids"`
	Dockerfile string            `yaml:"dockerfile"`
	Images     []string          `yaml:"images"`
	Tags       []string          `yaml:"tags"`
	Platforms  []string          `yaml:"platforms"`
	ExtraFiles []string          `yaml:"extra_files"`
	Labels     map[string]string `yaml:"labels"`
	SBOM       string            `yaml:"sbom"`
}

type publish struct {
	GitHub     ignored `yaml:"github"`
	Draft      bool    `yaml:"draft"`
	ExtraFiles []extra `yaml:"extra_files"`
}

func readConfig(root string) (*config, error) {
	data, err := os.ReadFile(filepath.Join(root, configName))
	if err != nil {
		return nil, err
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	c := &config{}
	if err := d.Decode(c); err != nil {
		return nil, fmt.Errorf("reading %s: %w", configName, err)
	}
	return c, c.check()
}

// check refuses what this program would make otherwise than goreleaser does.
func (c *config) check() error {
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(configName+": "+format, args...))
		}
	}
	refuse(c.Version != 2, "version is 2, not %d", c.Version)
	refuse(len(c.Builds) == 0, "there are no builds")
	refuse(c.Checksum.Algorithm != "sha256", "the algorithm of checksum is sha256")
	for _, b := range c.Builds {
		first := c.Builds[0]
		refuse(!slices.Equal(b.GOOS, first.GOOS) || !slices.Equal(b.GOARCH, first.GOARCH) || !slices.Equal(b.Env, first.Env), "%s and %s differ in more than their program", b.ID, first.ID)
	}
	for _, s := range c.SBOMs {
		refuse(s.Artifacts != "archive" || len(s.Documents) != 1, "an SBOM is one for each archive")
	}
	for _, s := range c.Signs {
		refuse(s.Artifacts != "checksum", "what is signed is the checksum, which names all else")
	}
	for _, a := range c.Archives {
		refuse(len(a.Formats) != 1, "archive %s has one format", a.ID)
	}
	for _, b := range c.Brews {
		refuse(len(b.IDs) != 1, "formula %s installs one archive", b.Name)
	}
	for _, s := range c.Scoops {
		refuse(len(s.IDs) != 1, "manifest %s installs one archive", s.Name)
	}
	return errors.Join(errs...)
}
