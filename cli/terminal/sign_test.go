package terminal_test

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/mezusphere/mezu/cli/terminal"
)

// streamsOf are streams under an environment, and what is written to stderr.
func streamsOf(env map[string]string) (terminal.Streams, *bytes.Buffer) {
	var said bytes.Buffer
	return terminal.Streams{Err: &said}.Under(func(name string) string { return env[name] }), &said
}

func TestSign(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a console of Windows shows all characters")
	}
	for _, c := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"LANG": "de_DE.UTF-8"}, "✓ a 1\n! b\n✗ c\n"},
		{map[string]string{"LANG": "en_US.utf8@euro"}, "✓ a 1\n! b\n✗ c\n"},
		{map[string]string{"LANG": "en_US.UTF-8", "LC_ALL": "C"}, "ok a 1\nwarn b\nfail c\n"},
		{map[string]string{"LANG": "C", "LC_CTYPE": "C.UTF-8"}, "✓ a 1\n! b\n✗ c\n"},
		{map[string]string{"LANG": "de_DE.ISO-8859-1"}, "ok a 1\nwarn b\nfail c\n"},
		{map[string]string{"LANG": "POSIX"}, "ok a 1\nwarn b\nfail c\n"},
	} {
		s, said := streamsOf(c.env)
		s.Signf(terminal.Good, "a %d", 1)
		s.Signf(terminal.Caution, "b")
		s.Signf(terminal.Bad, "c")
		if said.String() != c.want {
			t.Errorf("%v: %q", c.env, said)
		}
	}
	s, said := streamsOf(map[string]string{"LANG": "C.UTF-8"})
	s.Quiet, s.ErrTerminal = true, true
	s.Signf(terminal.Good, "a")
	s.Signf(terminal.Caution, "b")
	if said.String() != "\x1b[33m!\x1b[0m b\n" {
		t.Errorf("quiet, on a terminal: %q", said)
	}
}

func TestMask(t *testing.T) {
	s, said := streamsOf(map[string]string{"GITHUB_ACTIONS": "true"})
	s.Quiet = true
	s.Mask("mezu_a", "", "100%25\r\nb\n")
	if said.String() != "::add-mask::mezu_a\n::add-mask::100%2525\n::add-mask::b\n" {
		t.Errorf("%q", said)
	}
	s, said = streamsOf(nil)
	s.Mask("mezu_a")
	if said.Len() > 0 {
		t.Errorf("nobody masks: %q", said)
	}
}
