package projects

import (
	"context"
	"io"
	"reflect"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
)

// parse runs a command whose run only keeps what it was given.
func parse(t *testing.T, command *cli.Command, args ...string) error {
	t.Helper()
	app := &cli.App{Name: "mezu", Commands: []*cli.Command{command}, HideHelpCommand: true, DisableSliceFlagSeparator: true,
		Writer: io.Discard, ErrWriter: io.Discard, ExitErrHandler: func(*cli.Context, error) {}}
	return app.Run(append([]string{"mezu", command.Name}, args...))
}

func TestParseCreate(t *testing.T) {
	var got *createOptions
	keep := func(_ context.Context, o *createOptions) error { got = o; return nil }
	inv := &invocation.Invocation{}
	if err := parse(t, newCreate(inv, keep), "--display-name", "The shop", "--role", "staff=a.read,a.write", "--role", "guest=", "shop"); err != nil {
		t.Fatal(err)
	}
	want := mezu.Project{Name: "shop", DisplayName: "The shop", Roles: map[string]mezu.ProjectRole{
		"staff": {Permissions: []string{"a.read", "a.write"}}, "guest": {Permissions: []string{}},
	}}
	if got.Invocation != inv || !reflect.DeepEqual(got.Project, want) {
		t.Errorf("%+v", got)
	}
	for _, bad := range [][]string{{}, {"a", "b"}, {"--role", "x", "a"}, {"--role", "=x", "a"}, {"--role", "x=a", "--role", "x=b", "a"}, {"--role", "x=Not A Grant", "a"}, {"Upper"}, {"--display-name", "a\x1b[2J", "a"}} {
		got = nil
		if err := parse(t, newCreate(inv, keep), bad...); exit.Of(err) != exit.Usage || got != nil {
			t.Errorf("%q: %v, ran with %+v", bad, err, got)
		}
	}
}

func TestParseUpdate(t *testing.T) {
	var got *updateOptions
	keep := func(_ context.Context, o *updateOptions) error { got = o; return nil }
	for _, c := range []struct {
		args  []string
		patch map[string]any
	}{
		{[]string{"--display-name", "x", "shop"}, map[string]any{"display_name": "x"}},
		{[]string{"--display-name", "", "shop"}, map[string]any{"display_name": ""}},
		{[]string{"--role", "a=x", "--remove-role", "b", "shop"}, map[string]any{"roles": map[string]any{"a": mezu.ProjectRole{Permissions: []string{"x"}}, "b": nil}}},
	} {
		if err := parse(t, newUpdate(&invocation.Invocation{}, keep), c.args...); err != nil || !reflect.DeepEqual(got.Patch, c.patch) || got.Name != "shop" {
			t.Errorf("%q: %+v, %v", c.args, got, err)
		}
	}
	if err := parse(t, newUpdate(&invocation.Invocation{}, keep), "--if-revision", "7", "shop"); exit.Of(err) != exit.Usage {
		t.Errorf("nothing to change: %v", err)
	}
}

func TestParseDelete(t *testing.T) {
	var got *deleteOptions
	keep := func(_ context.Context, o *deleteOptions) error { got = o; return nil }
	if err := parse(t, newDelete(&invocation.Invocation{}, keep), "-y", "--if-revision", "7", "shop"); err != nil || got.Name != "shop" || !got.Yes || got.Revision != 7 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestParseListAndShow(t *testing.T) {
	listed := 0
	list := func(context.Context, *listOptions) error { listed++; return nil }
	if err := parse(t, newList(&invocation.Invocation{}, list)); err != nil || listed != 1 {
		t.Errorf("%v, listed %d times", err, listed)
	}
	if err := parse(t, newList(&invocation.Invocation{}, list), "more"); exit.Of(err) != exit.Usage || listed != 1 {
		t.Errorf("an argument: %v", err)
	}
	var got *showOptions
	if err := parse(t, newShow(&invocation.Invocation{}, func(_ context.Context, o *showOptions) error { got = o; return nil }), "--", "shop"); err != nil || got.Name != "shop" {
		t.Errorf("%+v, %v", got, err)
	}
}
