package tui

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/aymanbagabas/go-osc52/v2"
	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

const (
	// maxTerminalCopy bounds what is copied through the terminal (OSC 52): xterm and tmux
	// take no more than 100,000 bytes in base64, and drop a longer one silently.
	maxTerminalCopy = 74_000
	// maxCopy bounds what is copied at all.
	maxCopy = 8 << 20
	// maxEdited bounds the file that an editor leaves.
	maxEdited = 4 << 20
)

// copy copies text: to the system's clipboard, and where there is none through the terminal.
func (m *model) copy(c screen.Copy) tea.Cmd {
	life, desktop, remote, out, through := m.c.Life, m.cfg.Desktop, m.cfg.Remote, m.out, m.cfg.Multiplexer
	return func() tea.Msg {
		if len(c.Text) > maxCopy {
			return screen.Say{Text: fmt.Sprintf("%s is too long to copy: %s; w writes it to a file", c.What, look.Bytes(int64(len(c.Text)))), Bad: true}
		}
		if !remote && desktop.Copy(life, c.Text) == nil {
			return screen.Say{Text: "copied " + c.What}
		}
		if len(c.Text) > maxTerminalCopy {
			return screen.Say{Text: fmt.Sprintf("%s is too long for the terminal's clipboard: %s; w writes it to a file", c.What, look.Bytes(int64(len(c.Text)))), Bad: true}
		}
		sequence := osc52.New(c.Text)
		switch through {
		case "tmux":
			sequence = sequence.Tmux()
		case "screen":
			sequence = sequence.Screen()
		}
		if _, err := sequence.WriteTo(out); err != nil {
			return screen.Say{Text: "nothing was copied: " + err.Error(), Bad: true}
		}
		return screen.Say{Text: "asked the terminal to copy " + c.What + "; some refuse that"}
	}
}

// browse opens an address.
func (m *model) browse(b screen.Browse) tea.Cmd {
	life, desktop := m.c.Life, m.cfg.Desktop
	return func() tea.Msg {
		if err := desktop.Browse(life, b.URL); err != nil {
			return screen.Say{Text: "no browser was opened: " + err.Error(), Bad: true}
		}
		return screen.Say{Text: "opened " + b.URL}
	}
}

// edited is what became of a file that somebody edited.
type edited struct {
	ask  screen.Edit
	path string
	err  error
}

// edit writes the text to a file that nobody else reads, and gives the terminal to the editor.
func (m *model) edit(e screen.Edit) tea.Cmd {
	desktop, out := m.cfg.Desktop, m.out
	return func() tea.Msg {
		folder, err := os.MkdirTemp("", "mezu-edit-") // 0700
		if err != nil {
			return e.Then(nil, false, err)
		}
		path := filepath.Join(folder, filepath.Base(e.Name))
		err = os.WriteFile(path, e.Text, 0o600)
		var program string
		var args []string
		if err == nil {
			program, args, err = desktop.Edit(path)
		}
		if err != nil {
			return e.Then(nil, false, errors.Join(err, os.RemoveAll(folder)))
		}
		run := tea.Exec(&editor{exec.Command(program, args...), out}, func(err error) tea.Msg { return edited{ask: e, path: path, err: err} })
		return run()
	}
}

// editor is a program that gets the terminal.
type editor struct {
	*exec.Cmd
	out *output
}

// Run runs it when the terminal has taken what was drawn.
func (e *editor) Run() error {
	e.out.wait(lastWrite)
	return e.Cmd.Run()
}

func (e *editor) SetStdin(r io.Reader) {
	if e.Stdin == nil {
		e.Stdin = r
	}
}

// SetStdout gives it the terminal itself: a program tells by the file whether it has one.
func (e *editor) SetStdout(io.Writer) { e.Stdout = e.out.File }

func (e *editor) SetStderr(w io.Writer) {
	if e.Stderr == nil {
		e.Stderr = w
	}
}

// edited reads what was saved, and removes the file.
func (m *model) edited(e edited) tea.Cmd {
	return func() tea.Msg {
		err := e.err
		var text []byte
		if err == nil {
			text, err = readEdited(e.path)
		}
		err = errors.Join(err, os.RemoveAll(filepath.Dir(e.path)))
		return e.ask.Then(text, err == nil && !bytes.Equal(text, e.ask.Text), err)
	}
}

func readEdited(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxEdited {
		return nil, fmt.Errorf("what was saved has %s, %s at most", look.Bytes(info.Size()), look.Bytes(maxEdited))
	}
	return os.ReadFile(path)
}

// save asks for the name of a file.
func (m *model) save(s screen.Save) tea.Cmd {
	m.ask = &question{Ask: screen.Ask{Question: "Write to"}, typed: s.Name, save: &s}
	return nil
}

// write writes a file that isn't there yet.
func (m *model) write(name string, text []byte) tea.Cmd {
	return func() tea.Msg {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return screen.Say{Text: name + " is there already; nothing was written", Bad: true}
		}
		if err == nil {
			_, err = f.Write(text)
			if err = errors.Join(err, f.Close()); err != nil {
				os.Remove(name)
			}
		}
		if err != nil {
			return screen.Say{Text: "nothing was written: " + err.Error(), Bad: true}
		}
		return screen.Say{Text: fmt.Sprintf("wrote %s to %s", look.Bytes(int64(len(text))), name)}
	}
}
