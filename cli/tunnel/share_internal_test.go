package tunnel

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/tunnel/show"
	"github.com/mezusphere/mezu/cli/tunnel/target"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const address = "https://shop-dev-ada-acme.edge.example.com"

// sharing is a run that shares an address, with what it wrote to the terminal.
func sharing(env map[string]string, cfg Config) (*opened, *bytes.Buffer) {
	var said bytes.Buffer
	inv := &invocation.Invocation{Streams: terminal.Streams{Out: &said, Err: &said, ErrTerminal: true, Unicode: true}, Getenv: func(name string) string { return env[name] }}
	return &opened{options: &options{Invocation: inv, Config: cfg}, lines: &show.Lines{Streams: inv.Streams}}, &said
}

// A code is black on white, and nothing but its modules where there are no colours.
func TestQR(t *testing.T) {
	for _, colors := range []bool{true, false} {
		r, said := sharing(nil, Config{})
		r.lines.ColorOff = !colors
		if err := r.lines.QR(address); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(said.String()) {
			modules := strings.TrimSuffix(line, "\n")
			if colors {
				modules = strings.TrimSuffix(strings.TrimPrefix(modules, "\x1b[97;40m"), "\x1b[0m")
			}
			if painted := modules+"\n" != line; painted != colors || strings.Trim(modules, "█▀▄ ") != "" {
				t.Errorf("colours %v: %q", colors, line)
			}
		}
	}
}

// The clipboard of the system is used, and else the terminal's, also through tmux.
func TestCopy(t *testing.T) {
	copied := ""
	system := func(text string) error { copied = text; return nil }
	asked := "\x1b]52;c;" + base64.StdEncoding.EncodeToString([]byte(address)) + "\a"
	for name, c := range map[string]struct {
		env    map[string]string
		copy   func(string) error
		system bool
		said   string
	}{
		"system":            {nil, system, true, "copied the address\n"},
		"no system":         {nil, func(string) error { return errors.New("no xclip") }, false, asked + "asked the terminal to copy the address\n"},
		"nothing":           {nil, nil, false, asked},
		"over SSH":          {map[string]string{"SSH_CONNECTION": "a 1 b 2"}, system, false, asked},
		"over SSH, in tmux": {map[string]string{"SSH_CONNECTION": "a 1 b 2", "TMUX": "/tmp/x"}, system, false, asked + "\x1bPtmux;\x1b" + strings.TrimSuffix(asked, "\a") + "\a\x1b\\"},
	} {
		copied = ""
		r, said := sharing(c.env, Config{Copy: c.copy})
		if err := r.copy(address); err != nil || (copied == address) != c.system || !strings.HasPrefix(said.String(), c.said) {
			t.Errorf("%s: %q %q, %v", name, copied, said, err)
		}
	}
	r, _ := sharing(nil, Config{})
	r.ErrTerminal = false
	if err := r.copy(address); exit.Of(err) != exit.Unreachable {
		t.Errorf("%v", err)
	}
}

// C2: only an address of the web is opened, whatever a control plane says.
func TestC2_OpensNothingElse(t *testing.T) {
	var got []string
	cfg := Config{Open: func(a string) error { got = append(got, a); return nil }}
	for _, wrong := range []string{"http://a", "file:///etc/passwd", "javascript:alert(1)", "-x", "", "https://", "calc.exe"} {
		if err := browse(cfg, wrong); err == nil {
			t.Errorf("%q is opened", wrong)
		}
	}
	if err := browse(cfg, address); err != nil || len(got) != 1 || got[0] != address {
		t.Errorf("%q, %v", got, err)
	}
}

func TestPassword(t *testing.T) {
	p, shown, err := password("ada", "")
	if err != nil || len(shown) < 20 || (&mezu.TunnelTarget{Target: "localhost:1", BasicAuth: p}).Validate() != nil {
		t.Errorf("%+v %q %v", p, shown, err)
	}
	p, shown, err = password("ada", "chosen")
	if err != nil || shown != "" || p.Iterations != chosenRounds {
		t.Errorf("%+v %q %v", p, shown, err)
	}
}

func TestIsPassword(t *testing.T) {
	p, known, err := password("ada", "")
	if err != nil || !isPassword(p, "ada", known) || isPassword(p, "bob", known) || isPassword(p, "ada", "other") || isPassword(p, "ada", "") || isPassword(nil, "ada", known) {
		t.Errorf("%+v, %v", p, err)
	}
}

// A flag that was given wins over mezu.yaml, also where it says what holds without.
func TestApply_HostHeader(t *testing.T) {
	for _, c := range []struct{ flag, file, want string }{{"", "target", "target"}, {"keep", "target", ""}, {"app.test", "target", "app.test"}, {"", "", ""}} {
		o := &options{HostHeader: c.flag}
		of := target.Target{TunnelTarget: mezu.TunnelTarget{Target: "localhost:1", HostHeader: c.file}}
		if err := o.apply(&of); err != nil || of.HostHeader != c.want {
			t.Errorf("%+v: %q, %v", c, of.HostHeader, err)
		}
	}
}

func TestSplit(t *testing.T) {
	before, after, dashes := split([]string{"3000", "--", "a", "--", "-x"})
	if len(before) != 1 || strings.Join(after, " ") != "a -- -x" || !dashes {
		t.Errorf("%q %q", before, after)
	}
	if before, after, dashes = split([]string{"3000"}); len(before) != 1 || after != nil || dashes {
		t.Errorf("%q %q", before, after)
	}
}

// A name asks for an environment of one's own, whatever the variable says.
func TestNamed(t *testing.T) {
	o := &options{Invocation: &invocation.Invocation{Getenv: func(string) string { return "staging" }}}
	if got := o.named(""); got != "staging" {
		t.Errorf("%q", got)
	}
	if got := o.named("web"); got != "" {
		t.Errorf("%q", got)
	}
	o.Flags.Environment = "production"
	if got := o.named("web"); got != "production" {
		t.Errorf("%q", got)
	}
}
