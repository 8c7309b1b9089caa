package process_test

import (
	"errors"
	"flag"
	"io"
	"testing"

	"github.com/mezusphere/mezu/cmd/process"
)

func TestFlagError(t *testing.T) {
	for line, want := range map[string][2]string{
		"--nmae":          {"there is no flag --nmae", "did you mean: --name"},
		"--upstrm":        {"there is no flag --upstrm", "x --help"},
		"-x":              {"there is no flag --x", "x --help"},
		"--name":          {"--name needs a value", "x --help"},
		"--json=maybe":    {`--json is true or false, not "maybe"`, "x --help"},
		"--conns=\"ten\"": {`--conns: "ten" is no number`, "x --help"},
		"---":             {"bad flag syntax: ---", "x --help"},
	} {
		f := flag.NewFlagSet("x", flag.ContinueOnError)
		f.SetOutput(io.Discard)
		f.String("name", "", "")
		f.Bool("json", false, "")
		f.Func("conns", "", func(v string) error { return errors.New(v + " is no number") })
		err := f.Parse([]string{line})
		if err == nil {
			t.Fatalf("%s is a good flag", line)
		}
		if e := process.FlagError(f, err, "x --help"); e.Detail != want[0] || e.Hint != want[1] {
			t.Errorf("%s: %s, try: %s; not %q", line, e.Detail, e.Hint, want)
		}
	}
}
