package pages

import (
	"maps"
	"strings"
	"sync"
	"testing"
	"time"
)

// world is what a page needs to be run.
type world struct {
	// machines are those of the page: the first runs what is said of no other.
	machines []string
	// names are what the machines' resolvers know.
	names names
	// before prepares the machines, as the page says they are before it begins.
	before func(*testing.T, map[string]*machine)
	// meanwhile is what somebody does before a block, which is named by some of its text.
	meanwhile map[string]string
	// seen is what is true by then, on which machine: a command that has to end with 0.
	seen map[string]sight
}

// sight is a command on a machine.
type sight struct{ machine, command string }

// names are the addresses of names: on all machines, and on some of them instead.
type names struct {
	all map[string]string
	on  map[string]map[string]string
}

// of is what a machine's resolver says.
func (n names) of(machine string) map[string]string {
	out := maps.Clone(n.all)
	maps.Copy(out, n.on[machine])
	return out
}

// together runs a block on its machines at once.
func together(t *testing.T, name string, b block, all map[string]*machine) string {
	t.Helper()
	outputs := make([]string, len(b.machines))
	var group sync.WaitGroup
	for i, at := range b.machines {
		m := all[at]
		if m == nil {
			t.Errorf("%s:%d: there is no machine %s", name, b.line, at)
			continue
		}
		group.Go(func() {
			var err error
			if outputs[i], err = m.types(b.text); err != nil {
				t.Errorf("%s:%d: on %s, %v:\n%s\n%s", name, b.line, at, err, b.text, outputs[i])
			}
		})
	}
	group.Wait()
	return strings.Join(outputs, "\n")
}

// warning is how a program begins to say that others can't reach it as it was told to be reached.
const warning = "no other machine can use this name or address"

// play runs all commands of a page in their order, and gives its machines.
func play(t *testing.T, name string, w world) map[string]*machine {
	t.Helper()
	blocks := readPage(t, name)
	all := newMachines(t, w.names, w.machines...)
	if w.before != nil {
		w.before(t, all)
	}
	unmet := map[string]bool{}
	for text := range w.meanwhile {
		unmet[text] = true
	}
	for text := range w.seen {
		unmet[text] = true
	}
	for _, b := range blocks {
		if b.file != "" {
			for _, m := range all {
				m.write(b.file, b.text)
			}
		}
		if b.kind != fenceCommands {
			continue
		}
		if len(b.machines) == 0 {
			b.machines = w.machines[:1]
		}
		for text, commands := range w.meanwhile {
			if strings.Contains(b.text, text) {
				all[b.machines[0]].prepare(commands)
				delete(unmet, text)
			}
		}
		for text, s := range w.seen {
			if strings.Contains(b.text, text) {
				all[s.machine].enter("timeout", "60", "sh", "-c", s.command)
				delete(unmet, text)
			}
		}
		begin := time.Now()
		output := together(t, name, b, all)
		t.Logf("%s:%d took %d ms", name, b.line, time.Since(begin).Milliseconds())
		if t.Failed() {
			t.FailNow()
		}
		for _, line := range wrong(b.text, output) {
			t.Errorf("%s:%d: not so: %s\n%s", name, b.line, line, output)
		}
		for _, shown := range b.shown {
			if lines := missing(shown, output); len(lines) > 0 {
				t.Errorf("%s:%d: the page shows\n%s\nwhich is not in\n%s", name, b.line, strings.Join(lines, "\n"), output)
			}
		}
	}
	for text := range unmet {
		t.Errorf("%s has no block with %q, before which something was to be done or seen", name, text)
	}
	for _, m := range all {
		m.enter("leave", "tunnel", "dev", "warpgate", "mezusphere")
		if said := m.enter("sh", "-c", "grep -hs '"+warning+"' /page/left || true"); said != "" {
			t.Errorf("%s: what the page says is not enough: %s", m.name, said)
		}
	}
	return all
}
