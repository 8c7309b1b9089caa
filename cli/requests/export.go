package requests

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/local"
)

// curl is "mezu requests curl".
func (o *command) curl() *cli.Command {
	c := o.one("curl", "Print a request as a command of curl, for a POSIX shell", []cli.Flag{unmaskFlag()}, func(line *cli.Context) (action, error) {
		unmask := line.Bool("unmask")
		return func(ctx context.Context, c *local.Client, id string) error {
			text, err := c.Curl(ctx, id, unmask)
			if err != nil {
				return err
			}
			text = strings.TrimSuffix(text, "\n") + "\n"
			if o.OutTerminal {
				text = string(cleanLines([]byte(text)))
			}
			return o.Printf("%s", text)
		}, nil
	})
	c.Before = o.Is(invocation.Text)
	c.Description = "What is masked becomes a variable, without which the shell does not begin; --unmask writes it out."
	return c
}

// harOptions are those of one archive.
type harOptions struct {
	*command
	local.HARQuery
	File string
}

// har is "mezu requests har".
func (o *command) har() *cli.Command {
	return &cli.Command{
		Name: "har", Usage: "Write requests as an HTTP archive (HAR 1.2), for the tools of browsers", ArgsUsage: "[ID…]", BashComplete: o.complete(),
		Description: "Without ID all that are kept, or those of --filter. Secrets are masked, and only you can read FILE.",
		Flags: []cli.Flag{
			filterFlag(), unmaskFlag(),
			&cli.PathFlag{Name: "file", Aliases: []string{"O"}, Usage: "write it to `FILE`; - is stdout, where it goes anyway if that is no terminal"},
		},
		Before: o.Is(invocation.Text),
		Action: func(line *cli.Context) error {
			h := &harOptions{o, local.HARQuery{Filter: line.String("filter"), Unmask: line.Bool("unmask")}, line.Path("file")}
			ids := line.Args().Slice()
			if len(ids) > 0 && ids[0] == "--" {
				ids = ids[1:]
			}
			for _, id := range ids {
				if err := checkID(id); err != nil {
					return err
				}
			}
			switch {
			case len(ids) > 0 && h.Filter != "":
				return exit.Usagef("ID and --filter exclude each other")
			case h.File == "" && o.OutTerminal:
				e := exit.Usagef("mezu requests har needs a file, -O FILE: an archive is nothing to read")
				e.Hint = "mezu requests har -O requests.har"
				return e
			}
			return h.run(line.Context, ids)
		},
	}
}

func (h *harOptions) run(ctx context.Context, ids []string) error {
	c, err := h.client(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, id := range ids {
		if id, err = find(ctx, c, id); err != nil {
			return err
		}
		h.IDs = append(h.IDs, id)
	}
	if h.File == "" || h.File == "-" {
		return c.HAR(ctx, h.Out, h.HARQuery)
	}
	if err := replaceFile(h.Path(h.File), func(to io.Writer) error { return c.HAR(ctx, to, h.HARQuery) }); err != nil {
		return err
	}
	h.Signf(terminal.Good, "wrote %s", terminal.Clean(h.File))
	return nil
}

// replaceFile writes a file that only its owner can read. One that is there is replaced when all is
// written, and left alone if that fails. An archive is too large for memory.
func replaceFile(path string, fill func(io.Writer) error) error {
	partial, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".partial-") // 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(partial.Name()) // which is gone once it has been renamed
	buffered := bufio.NewWriter(partial)
	err = fill(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = partial.Sync()
	}
	if err = errors.Join(err, partial.Close()); err != nil {
		return err
	}
	if err := os.Rename(partial.Name(), path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
