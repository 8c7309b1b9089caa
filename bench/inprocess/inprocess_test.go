package inprocess

import (
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Everything that is timed does what it says, in small.
func TestInstallation(t *testing.T) {
	t.Parallel()
	in, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	takes(t, in)
	if rate, err := in.Fill(t.Context(), "more", 1200); err != nil || rate <= 0 {
		t.Fatalf("%v a second, %v", rate, err)
	}
	if took, err := in.Lookup(t.Context(), "more"); err != nil || took <= 0 {
		t.Error(took, err)
	}
	if err := in.CopyBare(t.Context(), "more"); err != nil {
		t.Fatal(err)
	}
	if took, err := in.LookupBare(t.Context(), "more"); err != nil || took <= 0 {
		t.Error(took, err)
	}
	for _, filter := range Filters() {
		for _, last := range []bool{false, true} {
			if took, err := in.Page(t.Context(), "more", filter, last); err != nil || took <= 0 {
				t.Errorf("%q, last %v: %v, %v", filter, last, took, err)
			}
		}
	}
}

// takes takes every kind.
func takes(t *testing.T, in *Installation) {
	t.Helper()
	const n = 120
	for _, k := range Kinds() {
		got, err := in.Take(t.Context(), k, n, n, n)
		if err != nil {
			t.Fatalf("%s: %v", k.Name, err)
		}
		for _, p := range []Pair{got.Create, got.Show, got.List} {
			if len(p.Ours) != n || len(p.Bare) != n {
				t.Errorf("%s: %d and %d", k.Name, len(p.Ours), len(p.Bare))
			}
		}
	}
}

func TestInstallation_Etcd(t *testing.T) {
	t.Parallel()
	testkit.Programs(t, "etcd")
	in, err := OpenEtcd(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	takes(t, in)
}

func TestStage(t *testing.T) {
	s := &stage{dir: t.TempDir()}
	var order []int
	s.Cleanup(func() { order = append(order, 1) })
	s.Cleanup(func() { order = append(order, 2) })
	err := s.run(func() {
		s.Fatal("no", "etcd")
		t.Error("Fatal returns")
	})
	if err == nil || !s.Failed() {
		t.Error("what gave up passes for done")
	}
	if err := s.close(); err != nil || !slices.Equal(order, []int{2, 1}) {
		t.Error(order, err)
	}
}
