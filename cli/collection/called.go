package collection

import (
	"context"
	"fmt"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/terminal"
)

// find gives the label of the record below a path that an argument names by what the record is
// called. The answer to one that is called nothing like that is the control plane's answer to a label
// that it doesn't know.
func (n Noun[T]) find(ctx context.Context, p Path, o *oneOptions) (string, error) {
	items, err := n.all(ctx, p, o.List, nil)
	if err != nil {
		return "", err
	}
	var found, known []string
	for _, item := range items {
		called := n.Called(item)
		if called == "" {
			continue
		}
		if known = append(known, api.Printable(called)); called == o.Name {
			found = append(found, n.Label(item))
		}
	}
	switch len(found) {
	case 0:
		return "", n.none(p, o, mezu.DidYouMean(o.Name, known))
	case 1:
		return found[0], nil
	}
	return "", &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("%d %s are called %s: %s", len(found), n.Many, o.Name, strings.Join(found[:min(len(found), maxNamed)], ", ")),
		Hint: "name the one that is meant by its id"}
}

// none is the error of a record that is not there. meant is the end of its sentence.
func (n Noun[T]) none(p Path, o *oneOptions, meant string) error {
	e := &mezu.Error{Code: mezu.CodeNotFound, Detail: fmt.Sprintf("there is no %s %q", n.One, o.Name)}
	if len(p.Params) > 0 {
		e.Detail += " in " + strings.Join(p.Params, "/")
	}
	if e.Detail += meant; meant != "" {
		return e // the name is what helps
	}
	e.Hint = o.command[:strings.LastIndexByte(o.command, ' ')+1] + "list"
	for i, flag := range []string{"--org", "--project", "--environment"}[:len(p.Params)] {
		e.Hint += " " + flag + " " + terminal.Clean(p.Params[i])
	}
	return e
}
