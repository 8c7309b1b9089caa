package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/testkit"
)

// maxExposure is how much of a machine the unit may be open to, in tenths (systemd-analyze security).
const maxExposure = 20

// TestDeploy: systemd takes the unit in deploy and finds it shut in, and this program its configuration.
func TestDeploy(t *testing.T) {
	const dir = "../../deploy/"
	if code, _, talk := mezusphere(nil, "check", "all", "--config", dir+"systemd/mezusphere.yaml"); code != 0 {
		t.Errorf("code %d, %s", code, talk)
	}
	text, err := os.ReadFile(dir + "compose.mezusphere.yaml")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"check"}
	for _, m := range regexp.MustCompile(`(?m)^      - (all|--\S+=\S.*)$`).FindAllStringSubmatch(string(text), -1) {
		args = append(args, regexp.MustCompile(`\$\{\w+:-([^}]*)\}`).ReplaceAllString(m[1], "$1"))
	}
	if code, _, talk := mezusphere(nil, args...); code != 0 || len(args) < 8 {
		t.Errorf("code %d, %s of %q", code, talk, args)
	}

	testkit.Programs(t, "systemd-analyze")
	unit, err := os.ReadFile(dir + "systemd/mezusphere.service")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "mezusphere")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "mezusphere.service")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(unit), "/usr/bin/mezusphere", program)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-analyze", "verify", "--man=no", path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", fmt.Sprint("--threshold=", maxExposure), path).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
