// Package collection is what the nouns of the mezu command have in common: to list,
// show, create, change and delete records of the API, each as an options value, a
// constructor that only parses, and a run that only acts.
//
// What may not live here: any noun. It imports the domain, api and the packages of cli
// that every command uses; the nouns of cli import it.
package collection

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// Noun describes one noun, whose records are T.
type Noun[T any] struct {
	// Name is the noun as it is typed, such as "service-accounts". One and Many are its
	// names in texts.
	Name, One, Many string
	// Arg is the name in help texts of the argument that names a record; if empty, NAME.
	Arg string
	// Nameless: a record can be created without the argument.
	Nameless bool
	// Operations are the API's operations on the noun. If the noun exists at several
	// kinds of paths, with operations of their own, Where chooses among them by
	// PathFlags, which all commands then have; if nil, there is one kind.
	Operations
	PathFlags []cli.Flag
	Where     func(*cli.Context) (Operations, error)
	// Label is what an argument must be to name a record. Check refuses an argument that
	// can't be a label, before anything is sent; if nil, mezu.ValidateName.
	Label func(T) string
	Check func(arg string) error
	// Called is what people call a record whose label is an id, such as a machine's name; if nil,
	// nothing. It is in a column of lists, and commands take it for the label where only one record
	// is called so.
	Called func(T) string
	// All lists all records, if List doesn't answer page by page; if nil, List does.
	All func(ctx context.Context, p Path) ([]T, error)
	// Resolve turns an argument into the last part of a record's path; if nil, it is the
	// argument itself.
	Resolve func(ctx context.Context, p Path, o Operations, arg string) (string, error)
	// Columns are the columns of a table, Details the lines that show one record.
	Columns, Details []terminal.Column[T]
	// Empty says what to try when there is no record yet. If that depends on who asks, EmptyFor does;
	// it may be nil.
	Empty    string
	EmptyFor func(ctx context.Context, client *api.Client) string
	// InForce: create, update and delete can wait until edges and Warpgates run what they wrote. The
	// noun's path is an environment's.
	InForce bool
	// Deletion is about deleting records.
	Deletion Deletion[T]
	// Filters are flags of list, and Query makes a query from them; both may be nil.
	Filters []cli.Flag
	Query   func(*cli.Context) (url.Values, error)
}

// Operations are the operations on a noun at one kind of path.
type Operations struct {
	List, Get, Create, Update, Delete api.Operation
	// Watch tells what changes in the collection; if it has no path, nothing does.
	Watch api.Operation
	// In gives the path of the collection's parent in the present context.
	In func(*invocation.Invocation) (Path, error)
}

// where gives the operations that the flags choose.
func (n Noun[T]) where(c *cli.Context) (Operations, error) {
	if n.Where == nil {
		return n.Operations, nil
	}
	return n.Where(c)
}

// Path is a resource path of the API, below which a command works.
type Path struct {
	Client *api.Client
	// Params fill the path of the collection's operations.
	Params []string
	// Text shows the path in messages; it is cleaned.
	Text string
}

// With appends to the parameters of a path.
func (p Path) With(params ...string) []string {
	return append(p.Params[:len(p.Params):len(p.Params)], params...)
}

// AtTop is the path of the installation.
func AtTop(inv *invocation.Invocation) (Path, error) {
	s, err := inv.Settings()
	if err != nil {
		return Path{}, err
	}
	client, err := inv.Client(s)
	return Path{Client: client, Text: terminal.Clean(s.API)}, err
}

// InOrganization is the path of the organization of the context.
func InOrganization(inv *invocation.Invocation) (Path, error) { return in(inv, 1) }

// InProject is the path of the project of the context.
func InProject(inv *invocation.Invocation) (Path, error) { return in(inv, 2) }

// InEnvironment is the path of the environment of the context.
func InEnvironment(inv *invocation.Invocation) (Path, error) { return in(inv, 3) }

func in(inv *invocation.Invocation, depth int) (Path, error) {
	s, err := inv.Settings()
	if err != nil {
		return Path{}, err
	}
	p := Path{}
	if p.Client, err = inv.Client(s); err != nil {
		return Path{}, err
	}
	for _, require := range []func() (string, error){s.RequireOrganization, s.RequireProject, s.RequireEnvironment}[:depth] {
		name, err := require()
		if err != nil {
			return Path{}, err
		}
		p.Params = append(p.Params, name)
		if p.Text != "" {
			p.Text += "/"
		}
		p.Text += terminal.Clean(name)
	}
	return p, nil
}

// Wakes has a command that is repeated look again when the collection at a path changes.
func (o Operations) Wakes(inv *invocation.Invocation, p Path) {
	if o.Watch.Path == "" {
		return
	}
	inv.WokenBy(func(ctx context.Context, ring func()) error {
		w, err := api.Watch[json.RawMessage](ctx, p.Client, o.Watch, "", p.Params...)
		if err != nil {
			return err
		}
		defer w.Close()
		for synced := false; ; {
			e, err := w.Next()
			if err != nil {
				return err
			}
			if synced {
				ring()
			}
			synced = synced || e.Kind == api.WatchSynced
		}
	})
}

// Command is "mezu NOUN" with its commands.
func (n Noun[T]) Command(usage string, commands ...*cli.Command) *cli.Command {
	alias := strings.ReplaceAll(n.One, " ", "-")
	return &cli.Command{Name: n.Name, Aliases: []string{alias}, Usage: usage, Category: "configuration", Subcommands: commands}
}

// Names lists the labels of records, for completion.
func (n Noun[T]) Names(ctx context.Context, inv *invocation.Invocation) ([]string, error) {
	if n.In == nil {
		return nil, nil // the path depends on flags, which completion does not read
	}
	p, err := n.In(inv)
	if err != nil {
		return nil, err
	}
	items, err := n.all(ctx, p, n.List, nil)
	names := make([]string, 0, len(items))
	for _, item := range items {
		names = append(names, n.Label(item))
	}
	return names, err
}

// all lists the records below a path that the query selects.
func (n Noun[T]) all(ctx context.Context, p Path, list api.Operation, query url.Values) ([]T, error) {
	if n.All != nil {
		return n.All(ctx, p)
	}
	var items []T
	for item, err := range api.Matching[T](ctx, p.Client, list, query, p.Params...) {
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// waitFlags are those of commands that write.
func (n Noun[T]) waitFlags() []cli.Flag {
	if !n.InForce {
		return nil
	}
	return []cli.Flag{WaitFlag()}
}

func (n Noun[T]) complete(inv *invocation.Invocation) cli.BashCompleteFunc {
	return invocation.Complete(func(ctx context.Context) ([]string, error) { return n.Names(ctx, inv) })
}

func (n Noun[T]) arg() string {
	if n.Arg == "" {
		return "NAME"
	}
	return n.Arg
}

// wanted is what an argument of a command is: the name of a record, or a name for one.
func (n Noun[T]) wanted(of string) string {
	switch n.arg() {
	case "NAME":
		if of == "for" {
			return "a name for the " + n.One
		}
		return "the name of " + article(n.One)
	case "ID":
		return "the id of " + article(n.One)
	case "USER":
		return "the mail address or id of a user"
	case "EMAIL|ID":
		return "the mail address or id of " + article(n.One)
	}
	return "the name or id of " + article(n.One)
}

// check refuses an argument that can't name a record.
func (n Noun[T]) check(arg string) error {
	switch {
	case n.Called != nil:
		return nil // what is no label is looked for
	case n.Check != nil:
		return n.Check(arg)
	}
	return mezu.ValidateName("name", arg)
}

// at gives the parent's path, and the parameters of the path of the record that an argument
// names.
func (n Noun[T]) at(ctx context.Context, o *oneOptions) (Path, []string, error) {
	p, err := o.In(o.Invocation)
	if err != nil {
		return p, nil, err
	}
	ref := o.Name
	switch {
	case n.Resolve != nil:
		ref, err = n.Resolve(ctx, p, o.Operations, o.Name)
	case n.Called != nil && n.Check(o.Name) != nil:
		ref, err = n.find(ctx, p, o)
	}
	if err != nil {
		return p, nil, err
	}
	return p, p.With(ref), nil
}

// ifRevision is the flag by which a command insists on a revision of the record.
func ifRevision(one string) cli.Flag {
	return &cli.Uint64Flag{Name: "if-revision", Usage: "only if the " + one + " still has revision `N`, else exit 5", DefaultText: "any"}
}

// Meta are the last lines of the details of every record.
func Meta[T any](meta func(T) mezu.Meta) []terminal.Column[T] {
	return []terminal.Column[T]{
		{Head: "CREATED", At: func(v T) time.Time { return meta(v).CreatedAt }},
		{Head: "UPDATED", At: func(v T) time.Time { return meta(v).UpdatedAt }},
		{Head: "REVISION", Value: func(v T) string { return strconv.FormatUint(meta(v).Revision, 10) }},
		{Head: "ID", Value: func(v T) string { return meta(v).ID }},
	}
}

// NothingNamed is the error of an update without a change.
func NothingNamed(c *cli.Context) error {
	e := exit.Usagef("nothing to change is named")
	e.Hint = c.Command.HelpName + " --help"
	return e
}
