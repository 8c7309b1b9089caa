package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"text/template"
)

// formula is one of Homebrew, for macOS and Linux.
const formula = `# Made by the release; it is overwritten by the next.
class {{ .Class }} < Formula
  desc {{ quote .Desc }}
  homepage {{ quote .Homepage }}
  version {{ quote .Version }}
  license {{ quote .License }}
{{- range .Systems }}

  on_{{ .Name }} do
{{- range .Archives }}
    on_{{ .CPU }} do
      url {{ quote .URL }}
      sha256 {{ quote .Sum }}
    end
{{- end }}
  end
{{- end }}

  def install
{{ indent .Install }}
  end

  test do
{{ indent .Test }}
  end
end
`

// system is one of those that a formula is for.
type system struct {
	Name     string
	Archives []download
}

// download is an archive by its address.
type download struct {
	CPU, URL, Sum string
}

// formulas writes those of Homebrew.
func (s *snapshot) formulas(context.Context) error {
	t := template.Must(template.New("").Funcs(template.FuncMap{"quote": rubyQuote, "indent": indent}).Parse(formula))
	for _, b := range s.config.Brews {
		data := struct {
			Class, Desc, Homepage, Version, License, Install, Test string
			Systems                                                []system
		}{Class: strings.ToUpper(b.Name[:1]) + b.Name[1:], Desc: b.Description, Homepage: b.Homepage, Version: s.version, License: b.License, Install: b.Install, Test: b.Test}
		for _, sys := range []struct{ goos, name string }{{"darwin", "macos"}, {"linux", "linux"}} {
			one := system{Name: sys.name}
			for _, cpu := range []struct{ goarch, name string }{{"amd64", "intel"}, {"arm64", "arm"}} {
				d, ok, err := s.download(b.IDs[0], sys.goos, cpu.goarch, b.URLTemplate)
				if err != nil {
					return err
				}
				if ok {
					d.CPU = cpu.name
					one.Archives = append(one.Archives, d)
				}
			}
			if len(one.Archives) > 0 {
				data.Systems = append(data.Systems, one)
			}
		}
		if len(data.Systems) == 0 {
			continue
		}
		var text strings.Builder
		if err := t.Execute(&text, data); err != nil {
			return err
		}
		if err := writeFile(filepath.Join(s.dist, "homebrew", b.Directory, b.Name+".rb"), []byte(text.String())); err != nil {
			return err
		}
	}
	return nil
}

// download gives the archive of a build for one platform, if it was made.
func (s *snapshot) download(id, goos, goarch, url string) (download, bool, error) {
	for _, a := range s.archives {
		if a.id != id || a.goos != goos || a.goarch != goarch {
			continue
		}
		d := download{}
		var err error
		if d.URL, err = s.fields.with(a.fields()).with(fields{"ArtifactName": a.name}).apply(url); err != nil {
			return d, false, err
		}
		d.Sum, err = digest(filepath.Join(s.dist, a.name))
		return d, err == nil, err
	}
	return download{}, false, nil
}

// rubyQuote is a string of Ruby in which nothing is replaced.
func rubyQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `#`, `\#`).Replace(s) + `"`
}

// indent is a text of several lines as the body of a method.
func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n    ")
}

// scoopManifest is one of Scoop, for Windows.
type scoopManifest struct {
	Version      string                   `json:"version"`
	Description  string                   `json:"description"`
	Homepage     string                   `json:"homepage"`
	License      string                   `json:"license"`
	Architecture map[string]scoopDownload `json:"architecture"`
}

type scoopDownload struct {
	URL  string   `json:"url"`
	Hash string   `json:"hash"`
	Bin  []string `json:"bin"`
}

// manifests writes those of Scoop.
func (s *snapshot) manifests(context.Context) error {
	for _, conf := range s.config.Scoops {
		m := scoopManifest{Version: s.version, Description: conf.Description, Homepage: conf.Homepage, License: conf.License, Architecture: map[string]scoopDownload{}}
		for goarch, name := range map[string]string{"amd64": "64bit", "arm64": "arm64"} {
			d, ok, err := s.download(conf.IDs[0], "windows", goarch, conf.URLTemplate)
			if err != nil {
				return err
			}
			if ok {
				m.Architecture[name] = scoopDownload{URL: d.URL, Hash: d.Sum, Bin: []string{conf.IDs[0] + ".exe"}}
			}
		}
		if len(m.Architecture) == 0 {
			continue
		}
		data, err := json.MarshalIndent(m, "", "    ")
		if err != nil {
			return fmt.Errorf("manifest %s: %w", conf.Name, err)
		}
		if err := writeFile(filepath.Join(s.dist, "scoop", conf.Name+".json"), append(data, '\n')); err != nil {
			return err
		}
	}
	return nil
}
