package memory_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu/cli/tunnel/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	s := memory.Store{Dir: filepath.Join(t.TempDir(), "state")}
	if m := s.Load(); !reflect.DeepEqual(m, memory.Memory{}) {
		t.Errorf("of nothing: %+v", m)
	}
	key := memory.Key("https://a", "acme", "shop", "dev-ada")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			err := s.Update(t.Context(), func(m *memory.Memory) {
				m.Names[fmt.Sprint(i)] = "dev-ada"
				m.Environments[key] = memory.Environment{ID: "env_1", Mine: true, Warpgate: "wgt_1"}
				m.Targets["/src"] = []string{"db:5432"}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	m := s.Load()
	if len(m.Names) != 8 || m.Environments[key] != (memory.Environment{ID: "env_1", Mine: true, Warpgate: "wgt_1"}) || m.Targets["/src"][0] != "db:5432" {
		t.Errorf("%+v", m)
	}
	if err := (memory.Store{}).Update(t.Context(), func(*memory.Memory) { t.Error("called") }); err != nil {
		t.Error(err)
	}
}

// A file that was cut or changed by others is as none, and the next write repairs it.
func TestStore_Damaged(t *testing.T) {
	s := memory.Store{Dir: t.TempDir()}
	if err := s.Update(t.Context(), func(m *memory.Memory) { m.Names["a"] = "dev-ada" }); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.Dir, "tunnels-known.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if err := os.WriteFile(path, data[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if m := s.Load(); len(m.Names) != 0 {
			t.Errorf("cut at %d: %+v", n, m)
		}
	}
	if err := s.Update(t.Context(), func(m *memory.Memory) { m.Names["b"] = "dev-bob" }); err != nil || s.Load().Names["b"] != "dev-bob" {
		t.Errorf("%v, %+v", err, s.Load())
	}
}

// Something is forgotten of what is too much.
func TestStore_Bounded(t *testing.T) {
	s := memory.Store{Dir: t.TempDir()}
	err := s.Update(t.Context(), func(m *memory.Memory) {
		for i := range 1200 {
			m.Targets[fmt.Sprint(i)] = []string{"x:1"}
		}
	})
	if m := s.Load(); err != nil || len(m.Targets) != 1000 {
		t.Errorf("%d, %v", len(m.Targets), err)
	}
}
