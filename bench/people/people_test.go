package people

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Everything that is timed does what it says, in small.
func TestInstallation(t *testing.T) {
	in, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	const n = 120
	for _, take := range []func() (Pair, error){
		func() (Pair, error) {
			if _, err := in.Fill(t.Context(), "few", 1); err != nil {
				return Pair{}, err
			}
			return in.Create(t.Context(), "few", n)
		},
		func() (Pair, error) { return in.Read(t.Context(), "few", n) },
		func() (Pair, error) { return in.List(t.Context(), "few", n) },
	} {
		if p, err := take(); err != nil || len(p.Ours) != n || len(p.Bare) != n {
			t.Fatalf("%d and %d, %v", len(p.Ours), len(p.Bare), err)
		}
	}
	if rate, err := in.Fill(t.Context(), "more", 1200); err != nil || rate <= 0 {
		t.Fatalf("%v a second, %v", rate, err)
	}
	if took, err := in.Lookup(t.Context(), "more"); err != nil || took <= 0 {
		t.Error(took, err)
	}
	if took, err := in.LookupBare("more"); err != nil || took <= 0 {
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
