package tunnel

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
)

// share opens, copies and draws an address, as the flags say.
func (r *opened) share(t mezu.Tunnel) error {
	var errs []error
	if r.QR {
		errs = append(errs, r.lines.QR(t.URL))
	}
	if r.Clip {
		errs = append(errs, r.copy(t.URL))
	}
	if r.Browse {
		errs = append(errs, browse(r.Config, t.URL))
	}
	return errors.Join(errs...)
}

// browse opens an address in the browser. It must be one of the web (C2): it came from a
// control plane.
func browse(cfg Config, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return mezu.Invalid("url", "the address of the tunnel is no https address, and is not opened")
	}
	if cfg.Open == nil {
		return exit.Usagef("there is no browser")
	}
	if err := cfg.Open(address); err != nil {
		return &mezu.Error{Code: mezu.CodeUnavailable, Detail: fmt.Sprintf("no browser could be opened: %v", err), Hint: "open " + address + " yourself", Cause: err}
	}
	return nil
}

// copy puts an address into the clipboard: the system's, or else that of whoever sits at the
// terminal, which the terminal is asked for (OSC 52).
func (r *opened) copy(text string) error {
	remote := r.Getenv("SSH_CONNECTION") != ""
	if !remote && r.Copy != nil && r.Copy(text) == nil {
		r.Sayf("copied the address")
		return nil
	}
	if !r.ErrTerminal {
		return &mezu.Error{Code: mezu.CodeUnavailable, Detail: "there is no clipboard here"}
	}
	asked := "\x1b]52;c;" + base64.StdEncoding.EncodeToString([]byte(text)) + "\a"
	if r.Getenv("TMUX") != "" {
		// tmux passes on what is wrapped so, each escape doubled. Newer ones take the plain one.
		asked += "\x1bPtmux;" + strings.ReplaceAll(asked, "\x1b", "\x1b\x1b") + "\x1b\\"
	}
	fmt.Fprint(r.Err, asked)
	r.Sayf("asked the terminal to copy the address")
	return nil
}

// variables are what --exec's program and --env-file get to know.
func (r *opened) variables() []string {
	var out []string
	for i, t := range r.all {
		is := t.session.Tunnel()
		if i == 0 {
			out = append(out, "MEZU_URL="+is.URL, "MEZU_HOST="+hostOf(is.URL), "MEZU_TUNNEL="+is.Name)
		}
		if len(r.all) > 1 && t.target.Name != "" {
			out = append(out, "MEZU_URL_"+strings.ToUpper(strings.ReplaceAll(t.target.Name, "-", "_"))+"="+is.URL)
		}
	}
	return out
}

// hostOf is the host of an address with its port, if that is not https'.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// writeEnv appends the address to the file that --env-file names.
func (r *opened) writeEnv() error {
	if r.EnvFile == "" {
		return nil
	}
	f, err := os.OpenFile(r.EnvFile, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return exit.Usagef("--env-file: %v", err)
	}
	text := ""
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			text = "\n"
		}
	}
	for _, v := range r.variables() {
		if strings.HasPrefix(v, "MEZU_URL") {
			text += v + "\n"
		}
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", r.EnvFile, err)
	}
	return nil
}

// exec runs --exec's program.
func (r *opened) exec(ctx context.Context) (int, error) {
	if r.Exec == nil {
		return 0, exit.Usagef("programs can't be started here")
	}
	return r.Exec(ctx, r.Command, r.variables())
}
