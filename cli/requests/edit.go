package requests

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/requests/draft"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/tunnel/show"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/namedfile"
)

type editOptions struct {
	*command
	// File has the request as it is to be sent; without it an editor is opened.
	File   string
	To     string
	Unmask bool
}

// edit is "mezu requests edit".
func (o *command) edit() *cli.Command {
	c := o.one("edit", "Change a request in your editor, and send what you save", []cli.Flag{
		toFlag(), unmaskFlag(),
		&cli.PathFlag{Name: "file", Usage: "send what `FILE` has instead of opening an editor"},
	}, func(line *cli.Context) (action, error) {
		if !line.IsSet("file") && (!o.CanPrompt() || !o.OutTerminal || o.Exec == nil) {
			e := exit.Usagef("there is no terminal to edit at")
			e.Hint = "mezu requests edit ID --file FILE, or mezu requests replay ID --set-header 'NAME: VALUE'"
			return nil, e
		}
		e := &editOptions{o, o.Path(line.Path("file")), line.String("to"), line.Bool("unmask")}
		return e.run, nil
	})
	c.Before = o.Is(invocation.Named)
	c.Description = "The editor is that of VISUAL, else of EDITOR. The text is the first line of the request, its fields, an empty\n" +
		"line and its body. " + mezu.Mask + " in a field or the query stays what it stands for."
	return c
}

func (o *editOptions) run(ctx context.Context, c *local.Client, id string) error {
	d, err := c.Exchange(ctx, id, o.Unmask)
	if err != nil {
		return err
	}
	text, err := o.draft(ctx, c, &d)
	if err != nil {
		return err
	}
	if o.File != "" {
		saved, err := namedfile.Read(o.File, draft.MaxText)
		if err != nil {
			return fmt.Errorf("reading the request: %w", err)
		}
		return o.sendText(ctx, c, d.ID, text, saved, o.File)
	}
	file, err := newFile(text.Text)
	if err != nil {
		return err
	}
	keep := false
	defer func() {
		if !keep {
			os.RemoveAll(filepath.Dir(file))
		}
	}()
	saved, err := o.edited(ctx, file)
	if err != nil {
		return err
	}
	if bytes.Equal(saved, text.Text) {
		o.Sayf("nothing was changed, so nothing was sent; mezu requests replay %s sends it as it was", shortID(d.ID))
		return nil
	}
	err = o.sendText(ctx, c, d.ID, text, saved, file)
	if keep = err != nil && !errors.Is(err, errUnsent); keep {
		o.Signf(terminal.Caution, "what you wrote is kept in %s", terminal.Clean(file))
	}
	return err
}

// draft gets the text to edit.
func (o *editOptions) draft(ctx context.Context, c *local.Client, d *mezu.ExchangeDetail) (*draft.Draft, error) {
	text, err := draft.Of(ctx, c, d, o.Unmask)
	switch {
	case err != nil:
	case text.Cut:
		o.Sayf("its body of %s is not all kept", show.Size(text.Size))
	case text.Opaque:
		o.Sayf("its body of %s is nothing to edit, and is sent as it was; what you write in its place replaces it", show.Size(text.Size))
	}
	return text, err
}

// sendText sends what was saved.
func (o *editOptions) sendText(ctx context.Context, c *local.Client, id string, d *draft.Draft, saved []byte, file string) error {
	edited, dropped, err := d.Read(saved)
	if err != nil {
		return &mezu.Error{Code: mezu.CodeInvalid, Detail: fmt.Sprintf("what you wrote is no request: %v", err), Hint: "put it right, and mezu requests edit " + shortID(id) + " --file " + file}
	}
	if dropped {
		o.Sayf("the body is sent without its Content-Encoding")
	}
	return o.send(ctx, c, id, local.Replay{To: o.To, Edited: &edited}, 1)
}

// newFile makes a file for the editor that nobody else can read.
func newFile(text []byte) (string, error) {
	dir, err := os.MkdirTemp("", "mezu-edit-") // 0700
	if err != nil {
		return "", fmt.Errorf("making a file to edit: %w", err)
	}
	path := filepath.Join(dir, "request.http")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		os.RemoveAll(dir)
		return "", fmt.Errorf("making a file to edit: %w", err)
	}
	return path, nil
}

// Editor is the program of VISUAL, else of EDITOR, with its arguments.
func Editor(getenv func(string) string) ([]string, error) {
	return splitWords(cmp.Or(getenv("VISUAL"), getenv("EDITOR"), map[bool]string{true: "notepad", false: "vi"}[runtime.GOOS == "windows"]))
}

// edited opens the editor on a file, and gives what is in it then.
func (o *editOptions) edited(ctx context.Context, file string) ([]byte, error) {
	argv, err := Editor(o.Getenv)
	if err != nil {
		return nil, err
	}
	code, err := o.Exec(ctx, append(argv, file), nil)
	if err != nil {
		return nil, &mezu.Error{Code: mezu.CodeUnavailable, Detail: fmt.Sprintf("the editor %s did not start: %v", terminal.Clean(argv[0]), err), Hint: "VISUAL or EDITOR names another", Cause: err}
	}
	if code != 0 {
		return nil, mezu.Errorf(mezu.CodeInternal, "the editor %s ended with code %d, so nothing was sent", terminal.Clean(argv[0]), code)
	}
	saved, err := namedfile.Read(file, draft.MaxText)
	if err != nil {
		return nil, fmt.Errorf("reading what was saved: %w", err)
	}
	return saved, nil
}

// splitWords splits the command of an editor at blanks, other than those between quotes.
func splitWords(command string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune
	begun := false
	for _, r := range command {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, begun = r, true
		case quote == 0 && (r == ' ' || r == '\t'):
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if quote != 0 {
		return nil, exit.Usagef("the command of the editor has a quote without its end: %s", command)
	}
	if begun {
		words = append(words, word.String())
	}
	if len(words) == 0 || words[0] == "" {
		return nil, exit.Usagef("VISUAL and EDITOR name no program")
	}
	return words, nil
}
