package badger_test

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	engine "github.com/dgraph-io/badger/v4"

	"github.com/mezusphere/mezu/edgesvc/store/badger"
	"github.com/mezusphere/mezu/testkit"
)

// canInject reports whether this machine lets strace fail the system calls of a
// process.
func canInject(t *testing.T) {
	t.Helper()
	testkit.Programs(t, "strace")
	if out, err := exec.Command("strace", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", "true").CombinedOutput(); err != nil {
		t.Skipf("strace may trace nothing here: %v: %s", err, out)
	}
}

// S3 on a real process: one failed sync, at any time, ends writing until the store
// is opened anew, though the next sync would succeed; everything acknowledged is
// there, and reads go on.
func TestS3InjectedEIO(t *testing.T) {
	canInject(t)
	t.Parallel()
	// A commit syncs its log by msync. The other calls are for tables and the list of
	// them, which come with every eight megabytes or so. strace counts calls by
	// thread, so that one failure is often several. That of the value log is no
	// harm: nothing of ours is large enough to go there.
	for _, c := range []struct {
		name, calls, file, writes string
		when                      []string
		bites                     bool // the failure can't go unnoticed
	}{
		{"log", "msync", "", "300", []string{"1", "2", "3", "7"}, false},
		{"files", "fsync,fdatasync", "", "2500", []string{"1", "2"}, false},
		{"list of tables", "fsync", engine.ManifestFilename, "2500", []string{"1"}, true},
	} {
		for _, when := range c.when {
			t.Run(c.name+" "+when, func(t *testing.T) {
				t.Parallel()
				if refused := injectEIO(t, c.calls, c.file, when, c.writes); c.bites && refused == 0 {
					t.Error("the failure was not noticed")
				}
			})
		}
	}
}

// injectEIO has a child write under strace, which fails the calls on a file of the
// engine, or on any, and counts the writes that were refused.
func injectEIO(t *testing.T, calls, file, when, writes string) (refused int) {
	dir := t.TempDir()
	closeNow(t, open(t, badger.Options{Dir: dir, Ballast: -1}))
	cmd := command(t, jobInsist, dir)
	args := []string{"-f", "-q", "-o", "/dev/null", "-e", "trace=" + calls, "-e", "inject=" + calls + ":error=EIO:when=" + when}
	if file != "" {
		args = append(args, "-P", filepath.Join(dir, "badger", file))
	}
	traced := exec.CommandContext(t.Context(), "strace", append(args, cmd.Path)...)
	traced.Env = append(cmd.Env, writesEnv+"="+writes)
	var stderr bytes.Buffer
	traced.Stderr = &stderr
	out, err := traced.Output()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var last int
	for _, line := range lines {
		var n int
		switch {
		case line == "":
		case refused == 0 && scans(line, "acknowledged %d", &n):
			last = n
		case scans(line, "refused %d", &n):
			refused++
		default:
			t.Errorf("after a refusal: %q", line)
		}
	}
	if err != nil && refused == 0 && last == 0 {
		// The failure hit the opening: an error that says so is right.
		if !strings.Contains(stderr.String(), "input/output error") {
			t.Errorf("opening failed with %v: %s", err, stderr.String())
		}
	} else if err != nil {
		t.Errorf("child: %v: %s", err, stderr.String())
	}
	db := open(t, badger.Options{Dir: dir, Ballast: -1})
	all, _, err := dump(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= last; n++ {
		if all[fmt.Sprintf("p/%06d", n)] == "" {
			t.Fatalf("write %d of %d acknowledged is lost", n, last)
		}
	}
	t.Logf("%d acknowledged, then %d refused", last, refused)
	commit(t, db, put("n", "again"))
	return refused
}

func scans(line, format string, into *int) bool {
	_, err := fmt.Sscanf(line, format, into)
	return err == nil
}
