package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfig: the project's description is read, and nothing in one is passed over.
func TestConfig(t *testing.T) {
	t.Parallel()
	c, err := readConfig("..")
	if err != nil {
		t.Fatal(err)
	}
	// What install.sh and mezu update ask for.
	for i, name := range []string{"mezu", "warpgate", "mezusphere"} {
		if c.Builds[i].ID != name || c.Archives[i].NameTemplate != name+"_{{ .Os }}_{{ .Arch }}" || len(c.Builds[i].GOOS)*len(c.Builds[i].GOARCH) != 6 {
			t.Errorf("of %s there are builds %+v and archives %+v", name, c.Builds[i], c.Archives[i])
		}
	}
	if c.Checksum.NameTemplate != "SHA256SUMS" || len(c.Signs) != 1 || c.Signs[0].Signature != "${artifact}.sig" {
		t.Errorf("sums %+v, signatures %+v", c.Checksum, c.Signs)
	}
	data, err := os.ReadFile(filepath.Join("..", configName))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		strings.Replace(string(data), "project_name:", "winget: []\nproject_name:", 1):                  "field winget not found",
		strings.Replace(string(data), "    bindir:", "    epoch: 1\n    bindir:", 1):                    "field epoch not found",
		strings.Replace(string(data), "version: 2", "version: 1", 1):                                    "version is 2",
		strings.Replace(string(data), "algorithm: sha256", "algorithm: sha1", 1):                        "is sha256",
		strings.Replace(string(data), "artifacts: checksum", "artifacts: all", 1):                       "names all else",
		strings.Replace(string(data), "formats: [tar.gz]", "formats: [tar.gz, zip]", 1):                 "has one format",
		strings.Replace(string(data), "artifacts: archive", "artifacts: source", 1):                     "one for each archive",
		strings.Replace(string(data), "    id: warpgate\n", "    id: warpgate\n    goos: [linux]\n", 1): "differ in more",
		"version: [": "reading goreleaser.yaml",
	} {
		dir := t.TempDir()
		if err := writeFile(filepath.Join(dir, configName), []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := readConfig(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}

// TestTemplates: they are filled in as goreleaser does, and what is not known is an error.
func TestTemplates(t *testing.T) {
	t.Parallel()
	f := commit{id: "0123456789abcdef", at: testTime, tag: "v1.2.3"}.fields("1.2.4-pre1").with(fields{"Os": "linux"})
	for text, want := range map[string]string{
		"a_{{ .Os }}": "a_linux", "{{ .Version }} {{ .Tag }}": "1.2.4-pre1 v1.2.4-pre1", "{{ .FullCommit }}": "0123456789abcdef",
		"{{ .CommitDate }} {{ .CommitTimestamp }}": "2023-11-14T22:13:20Z 1700000000", `{{ incpatch "1.2.9" }}`: "1.2.10",
	} {
		if got, err := f.apply(text); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"{{ .Arch }}", "{{", `{{ incpatch "x" }}`, `{{ incpatch "1.2.x" }}`, "{{ .Env.X }}", "{{ exec }}"} {
		if got, err := f.apply(text); err == nil {
			t.Errorf("%s is %q", text, got)
		}
	}
	if _, err := f.time("{{ .Os }}"); err == nil {
		t.Error("linux is a time")
	}
}

// TestCommit: a release is called as its tag, and what lies between two is a snapshot.
func TestCommit(t *testing.T) {
	tools(t, "git")
	root := t.TempDir()
	at := "1700000000 +0200"
	for _, name := range []string{"GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"} {
		t.Setenv(name, "x")
	}
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_COMMITTER_DATE", at)
	do := func(args ...string) {
		t.Helper()
		if out, err := git(t.Context(), root, args...); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	none := func(string) string { return "" }
	const template = "{{ incpatch .Version }}-pre{{ .CommitTimestamp }}"
	expect := func(when, want string) {
		t.Helper()
		c, err := lastCommit(t.Context(), root, none)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.version(template); err != nil || got != want || c.at != testTime {
			t.Errorf("%s: %q, %v, at %v; want %q", when, got, err, c.at, want)
		}
	}
	if _, err := lastCommit(t.Context(), root, none); err == nil || !strings.Contains(err.Error(), epochVariable) {
		t.Errorf("without a repository: %v", err)
	}
	do("init", "--quiet")
	do("commit", "--quiet", "--allow-empty", "--message", "one")
	expect("without a tag", "0.0.1-pre1700000000")
	do("tag", "not-a-version")
	do("tag", "v1.2.9")
	expect("at a tag", "1.2.9")
	if err := writeFile(filepath.Join(root, "x"), nil); err != nil {
		t.Fatal(err)
	}
	expect("with a change", "1.2.10-pre1700000000")
	do("add", "x")
	do("commit", "--quiet", "--message", "two")
	expect("after a tag", "1.2.10-pre1700000000")
	c, err := lastCommit(t.Context(), root, func(string) string { return "1600000000" })
	if err != nil || c.at.Unix() != 1600000000 {
		t.Errorf("with a time from outside: %v, %v", c.at, err)
	}
	if _, err := lastCommit(t.Context(), root, func(string) string { return "yesterday" }); err == nil {
		t.Error("yesterday is a time")
	}
}

// TestCommandLine: what is not understood ends with 2, and what fails with 1.
func TestCommandLine(t *testing.T) {
	full := t.TempDir()
	if err := writeFile(filepath.Join(full, "somebody's"), nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitUsage, "what to do is missing"},
		{[]string{"publish"}, exitUsage, "publish"},
		{[]string{"snapshot", "--no"}, exitUsage, "flag provided but not defined"},
		{[]string{"snapshot", "x"}, exitUsage, "snapshot"},
		{[]string{"inputs"}, exitUsage, "inputs"},
		{[]string{"sbom", "-version", "1", "x"}, exitUsage, "sbom"},
		{[]string{"snapshot", "-h"}, exitDone, "Usage:"},
		{[]string{"snapshot", "-root", full}, exitFailed, "goreleaser.yaml"},
		{[]string{"snapshot", "-dist", full}, exitFailed, "is not empty"},
		{[]string{"sbom", "-version", "1", "-o", os.DevNull, filepath.Join(full, "somebody's")}, exitFailed, "EOF"},
	} {
		var stderr bytes.Buffer
		getenv := func(name string) string { return map[string]string{epochVariable: testEpoch}[name] }
		if code := run(context.Background(), c.args, getenv, &stderr); code != c.code || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("%q: code %d, %s", c.args, code, stderr.String())
		}
	}
	if files := filesBelow(t, full); len(files) != 1 {
		t.Errorf("a folder of somebody's has %q", files)
	}
}
