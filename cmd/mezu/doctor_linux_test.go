package main

import (
	"path/filepath"
	"testing"

	"github.com/mezusphere/mezu/testkit"
)

// A disk that is full is found before a key or a login can't be kept.
func TestDoctorFullDisk(t *testing.T) {
	home := t.TempDir()
	testkit.Disk(t, filepath.Join(home, "state"), 8<<20)
	p := person{t: t, env: map[string]string{"MEZU_HOME": home}}
	code, out, _ := p.mezu("doctor")
	holds(t, "8 MiB", code, 1, out, "✗ disk         8 MiB free at "+filepath.Join(home, "state"), "keys, certificates and logins can't be kept", "✗ api          no control plane is named")
}
