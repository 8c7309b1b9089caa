//go:build linux || darwin

package badger_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
)

// What a child says before it closes a store, and in which codes it ends.
const (
	endWrites     = 300
	endRefused    = "refused: "
	endUnwritable = "unwritable: "
	endClosed     = 0
	endLeft       = 7 // Close said something
)

// childEnd writes, waits for a line, and closes. It says what writing and closing say then.
func childEnd(db *badger.DB) int {
	ctx := context.Background()
	for n := range endWrites {
		if _, err := db.Commit(ctx, store.Txn{Ops: []store.Op{put(fmt.Sprintf("p/%03d", n), strings.Repeat("v", 2000))}}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 4
		}
	}
	fmt.Println("written")
	bufio.NewReader(os.Stdin).ReadString('\n')
	if err := db.Writable(ctx); err != nil {
		fmt.Println(endUnwritable + err.Error())
	}
	if _, err := db.Commit(ctx, store.Txn{Ops: []store.Op{put("late", "v")}}); err != nil {
		fmt.Println(endRefused + err.Error())
	}
	if err := db.Close(); err != nil {
		fmt.Println(err)
		return endLeft
	}
	return endClosed
}

// closeAfter has a child write a store, and close it after what was done to its disk. It gives
// the child's exit code and what it said.
func closeAfter(t *testing.T, dir string, do func()) (code int, said string) {
	t.Helper()
	cmd := command(t, jobEnd, dir)
	var errs strings.Builder
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("the child said nothing: %s", errs.String())
	}
	do()
	began := time.Now()
	fmt.Fprintln(in)
	for lines.Scan() {
		said += lines.Text() + "\n"
	}
	cmd.Wait()
	t.Logf("closed in %v", time.Since(began))
	if errs.Len() > 0 {
		t.Errorf("stderr: %.1000s", errs.String())
	}
	return cmd.ProcessState.ExitCode(), said
}

// S5: a store whose folder was taken away says so and takes nothing more, which would be
// nowhere, and closing it ends. The engine would try to make its table for ever.
func TestS5FolderGone(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(dir string) error{
		"all of it":  os.RemoveAll,
		"what is in": func(dir string) error { return emptied(filepath.Join(dir, "badger")) },
		"put another": func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".was"), os.CopyFS(dir, os.DirFS(dir+".was")))
		},
		"put it aside": func(dir string) error { return os.Rename(dir, dir+".was") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "store")
			code, said := closeAfter(t, dir, func() {
				if err := take(dir); err != nil {
					t.Error(err)
				}
			})
			for _, want := range []string{endUnwritable + "the store's folder is gone", endRefused, "closing store " + dir + ": the store's folder is gone", "only if it was moved"} {
				if !strings.Contains(said, want) {
					t.Errorf("no %q in:\n%s", want, said)
				}
			}
			if code != endLeft {
				t.Errorf("ended with %d", code)
			}
		})
	}
}

func emptied(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
	}
	return err
}

// A store that is closed with room says nothing, and is writable until then.
func TestWritable(t *testing.T) {
	db := open(t, badger.Options{Dir: t.TempDir()})
	commit(t, db, put("a", "1"))
	if err := db.Writable(t.Context()); err != nil {
		t.Error(err)
	}
	db.TestOnlyFailSync(errors.New("input/output error"))
	if _, err := db.Commit(t.Context(), store.Txn{Ops: []store.Op{put("a", "2")}}); err == nil {
		t.Error("a failed write was acknowledged")
	}
	if err := db.Writable(t.Context()); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "failed before") {
		t.Errorf("after a failed write: %v", err)
	}
	closeNow(t, db)
	if err := db.Writable(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
