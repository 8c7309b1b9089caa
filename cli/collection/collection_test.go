package collection

import (
	"context"
	"errors"
	"io"
	"net/url"
	"reflect"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
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

// keep gives a run that keeps its options.
func keep[O any](got *O) func(context.Context, O) error {
	return func(_ context.Context, o O) error { *got = o; return nil }
}

// things is a noun at two kinds of places, with filters.
func things() Noun[mezu.Project] {
	return Noun[mezu.Project]{
		Name: "things", One: "thing", Many: "things", Operations: Operations{List: api.OpListProjects},
		PathFlags: []cli.Flag{&cli.BoolFlag{Name: "other"}},
		Where: func(c *cli.Context) (Operations, error) {
			if c.Bool("other") {
				return Operations{List: api.OpListEnvironments}, nil
			}
			return Operations{List: api.OpListProjects}, nil
		},
		Label:   func(p mezu.Project) string { return p.Name },
		Filters: []cli.Flag{&cli.StringFlag{Name: "color"}},
		Query: func(c *cli.Context) (url.Values, error) {
			if c.String("color") == "none" {
				return nil, exit.Usagef("no such color")
			}
			return url.Values{"color": {c.String("color")}}, nil
		},
	}
}

func TestParseList(t *testing.T) {
	inv := &invocation.Invocation{}
	var got *listOptions
	if err := parse(t, things().newList(inv, keep(&got)), "--color", "red", "--other"); err != nil || got.Invocation != inv || got.Query.Get("color") != "red" || got.List != api.OpListEnvironments {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range [][]string{{"more"}, {"--color", "none"}} {
		got = nil
		if err := parse(t, things().newList(inv, keep(&got)), bad...); exit.Of(err) != exit.Usage || got != nil {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestParseShow(t *testing.T) {
	var got *oneOptions
	if err := parse(t, things().newShow(&invocation.Invocation{}, keep(&got)), "--", "a"); err != nil || got.Name != "a" || got.List != api.OpListProjects {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range [][]string{{}, {"a", "b"}} {
		if err := parse(t, things().newShow(&invocation.Invocation{}, keep(&got)), bad...); exit.Of(err) != exit.Usage {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestParseCreate(t *testing.T) {
	body := func(c *cli.Context, arg string) (any, error) {
		if arg == "bad" {
			return nil, errors.New("bad")
		}
		return arg + c.String("size"), nil
	}
	flags := []cli.Flag{&cli.StringFlag{Name: "size"}}
	n := things()
	var got *createOptions
	if err := parse(t, n.newCreate(&invocation.Invocation{}, flags, body, keep(&got)), "--size", "9", "--other", "a"); err != nil || got.Body != "a9" || got.List != api.OpListEnvironments {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range [][]string{{}, {"a", "b"}, {"bad"}} {
		got = nil
		if err := parse(t, n.newCreate(&invocation.Invocation{}, flags, body, keep(&got)), bad...); err == nil || got != nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
	n.Nameless = true
	if err := parse(t, n.newCreate(&invocation.Invocation{}, flags, body, keep(&got))); err != nil || got.Body != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestParseUpdate(t *testing.T) {
	patch := func(c *cli.Context) (map[string]any, error) {
		if !c.IsSet("size") {
			return nil, nil
		}
		return map[string]any{"size": c.Int("size")}, nil
	}
	flags := []cli.Flag{&cli.IntFlag{Name: "size"}}
	var got *updateOptions
	if err := parse(t, things().newUpdate(&invocation.Invocation{}, flags, patch, keep(&got)), "--size", "9", "--if-revision", "7", "a"); err != nil ||
		got.Name != "a" || got.Revision != 7 || !reflect.DeepEqual(got.Patch, map[string]any{"size": 9}) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := parse(t, things().newUpdate(&invocation.Invocation{}, flags, patch, keep(&got)), "--if-revision", "7", "a"); exit.Of(err) != exit.Usage {
		t.Errorf("nothing to change: %v", err)
	}
}

func TestParseDelete(t *testing.T) {
	var got *deleteOptions
	if err := parse(t, things().newDelete(&invocation.Invocation{}, keep(&got)), "-y", "--if-revision", "7", "shop"); err != nil || got.Name != "shop" || !got.Yes || got.Revision != 7 {
		t.Errorf("%+v, %v", got, err)
	}
}
