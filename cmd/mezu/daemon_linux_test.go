package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// checkNoSecret looks for a token in all that there is of the daemon: its environment and
// arguments, its log and its state.
func checkNoSecret(t *testing.T, p *person, token string) {
	if token == "" || p.env["MEZU_TOKEN"] != token {
		t.Fatal("there is nothing to look for")
	}
	dir := fmt.Sprintf("/proc/%d/", p.status().PID)
	for _, name := range []string{"environ", "cmdline"} {
		data, err := os.ReadFile(dir + name)
		if err != nil || len(data) == 0 {
			t.Fatalf("%s: %d bytes, %v", name, len(data), err)
		}
		if text := string(data); strings.Contains(text, token) || strings.Contains(text, "MEZU_TOKEN") || strings.Contains(text, "MEZU_API") {
			t.Errorf("%s has %q", name, text)
		}
	}
	err := filepath.WalkDir(p.folders().State, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), token) {
			t.Errorf("%s has the token", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
