package process_test

import (
	"errors"
	"flag"
	"io"
	"testing"

	"github.com/mezusphere/mezu/cmd/process"
)

func TestFlagError(t *testing.T) {
	for line, want := range map[string]string{
		"--upstrm":        "there is no flag --upstrm",
		"-x":              "there is no flag --x",
		"--name":          "--name needs a value",
		"--json=maybe":    `--json is true or false, not "maybe"`,
		"--conns=\"ten\"": `--conns: "ten" is no number`,
		"---":             "bad flag syntax: ---",
	} {
		f := flag.NewFlagSet("x", flag.ContinueOnError)
		f.SetOutput(io.Discard)
		f.String("name", "", "")
		f.Bool("json", false, "")
		f.Func("conns", "", func(v string) error { return errors.New(v + " is no number") })
		err := f.Parse([]string{line})
		if err == nil || process.FlagError(err).Error() != want {
			t.Errorf("%s: %v, not %s", line, process.FlagError(err), want)
		}
	}
}
