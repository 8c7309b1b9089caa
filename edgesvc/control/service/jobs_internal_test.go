package service

import "testing"

// A job that is due more often than the sweep comes would run late and say nothing, and two
// of one name could not be told apart in the log.
func TestJobs(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, j := range newPool(t, nil).jobs() {
		if j.Every < SweepInterval {
			t.Errorf("%q is due every %v, the sweep comes every %v", j.Name, j.Every, SweepInterval)
		}
		if j.Name == "" || names[j.Name] {
			t.Errorf("the name %q is empty or taken", j.Name)
		}
		names[j.Name] = true
	}
}
