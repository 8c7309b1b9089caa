package projects

import (
	"io"
	"reflect"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
)

// read gives what make makes of flags and an argument.
func read[T any](t *testing.T, flags []cli.Flag, make func(*cli.Context) (T, error), args ...string) (got T, err error) {
	t.Helper()
	app := &cli.App{Name: "mezu", Flags: flags, HideHelpCommand: true, DisableSliceFlagSeparator: true, Writer: io.Discard, ErrWriter: io.Discard,
		ExitErrHandler: func(*cli.Context, error) {}, Action: func(c *cli.Context) error { got, err = make(c); return err }}
	return got, app.Run(append([]string{"mezu"}, args...))
}

func TestCreate(t *testing.T) {
	create := func(c *cli.Context) (any, error) { return fromFlags(c, c.Args().First()) }
	got, err := read(t, createFlags(), create, "--display-name", "The shop", "--role", "staff=a.read,a.write", "--role", "guest=", "shop")
	want := mezu.Project{Name: "shop", DisplayName: "The shop", Roles: map[string]mezu.ProjectRole{
		"staff": {Permissions: []string{"a.read", "a.write"}}, "guest": {Permissions: []string{}},
	}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range [][]string{{"--role", "x", "a"}, {"--role", "=x", "a"}, {"--role", "x=a", "--role", "x=b", "a"}, {"--role", "x=Not A Grant", "a"}, {"Upper"}, {"--display-name", "a\x1b[2J", "a"}} {
		if _, err := read(t, createFlags(), create, bad...); exit.Of(err) != exit.Usage {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestUpdate(t *testing.T) {
	for _, c := range []struct {
		args  []string
		patch map[string]any
	}{
		{[]string{"--display-name", "x"}, map[string]any{"display_name": "x"}},
		{[]string{"--display-name", ""}, map[string]any{"display_name": ""}},
		{[]string{"--role", "a=x", "--remove-role", "b"}, map[string]any{"roles": map[string]any{"a": mezu.ProjectRole{Permissions: []string{"x"}}, "b": nil}}},
		{nil, map[string]any{}},
	} {
		if got, err := read(t, updateFlags(), patchOf, c.args...); err != nil || !reflect.DeepEqual(got, c.patch) {
			t.Errorf("%q: %+v, %v", c.args, got, err)
		}
	}
	if _, err := read(t, updateFlags(), patchOf, "--role", "a=x", "--remove-role", "a"); exit.Of(err) != exit.Usage {
		t.Errorf("%v", err)
	}
}
