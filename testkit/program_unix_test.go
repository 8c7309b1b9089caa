//go:build unix

package testkit_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/mezusphere/mezu/testkit"
)

// What is written or copied can be run at once, while others start processes.
func TestWriteProgram(t *testing.T) {
	dir := t.TempDir()
	done := make(chan struct{})
	var others sync.WaitGroup
	for range 4 {
		others.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					exec.Command("true").Run()
				}
			}
		})
	}
	defer others.Wait()
	defer close(done)
	for n := range 100 {
		written, copied := filepath.Join(dir, "w"+strconv.Itoa(n)), filepath.Join(dir, "c"+strconv.Itoa(n))
		testkit.WriteProgram(t, written, []byte("#!/bin/sh\n"))
		testkit.CopyFile(t, written, copied)
		if err := os.Chmod(copied, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, program := range []string{written, copied} {
			if err := exec.Command(program).Run(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
