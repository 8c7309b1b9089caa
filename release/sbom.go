package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"runtime/debug"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// sbomVersion is one that readers have had time to learn.
const sbomVersion = cdx.SpecVersion1_6

// archiveSBOM writes which modules are linked into the program of an archive, as the
// program itself says, in the JSON of CycloneDX.
func archiveSBOM(archive, out, version string) error {
	return openProgram(archive, func(name string, data []byte, at time.Time) error {
		info, err := buildinfo.Read(bytes.NewReader(data))
		if err != nil {
			return fmt.Errorf("%s of %s: %w", name, archive, err)
		}
		bom := newSBOM(strings.TrimSuffix(name, ".exe"), version, data, at, info)
		return create(out, func(w io.Writer) error {
			return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, sbomVersion)
		})
	})
}

func newSBOM(name, version string, data []byte, at time.Time, info *debug.BuildInfo) *cdx.BOM {
	sum := sha256.Sum256(data)
	program := module(info.Main.Path, version)
	program.Type, program.Name = cdx.ComponentTypeApplication, name
	program.BOMRef = "program"
	program.PackageURL += "#" + strings.TrimPrefix(strings.TrimPrefix(info.Path, info.Main.Path), "/")
	program.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}}
	program.Properties = settings(info)

	goVersion := strings.TrimPrefix(info.GoVersion, "go")
	components := []cdx.Component{module("std", goVersion)}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		c := module(m.Path, m.Version)
		if m.Sum != "" {
			c.Properties = &[]cdx.Property{{Name: "go:sum", Value: m.Sum}}
		}
		components = append(components, c)
	}
	refs := make([]string, len(components))
	for i, c := range components {
		refs[i] = c.BOMRef
	}

	bom := cdx.NewBOM()
	bom.SerialNumber = "urn:uuid:" + uuid(sum)
	bom.Metadata = &cdx.Metadata{Timestamp: at.Format(time.RFC3339), Component: &program}
	bom.Components = &components
	// What a program links says nothing of which module asked for which.
	bom.Dependencies = &[]cdx.Dependency{{Ref: program.BOMRef, Dependencies: &refs}}
	return bom
}

func module(path, version string) cdx.Component {
	url := "pkg:golang/" + strings.ToLower(path) + "@" + strings.ReplaceAll(version, "+", "%2B")
	return cdx.Component{BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: url}
}

// settings are for which platform, and how, the program was built.
func settings(info *debug.BuildInfo) *[]cdx.Property {
	var out []cdx.Property
	for _, s := range info.Settings {
		if s.Value != "" {
			out = append(out, cdx.Property{Name: path.Join("go:build", s.Key), Value: s.Value})
		}
	}
	return &out
}

// uuid is one of RFC 9562, version 8: what is its own is the digest, so that the same
// program has the same.
func uuid(sum [sha256.Size]byte) string {
	b := sum[:16]
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b)
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}
