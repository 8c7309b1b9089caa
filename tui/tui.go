// Package tui is the dashboard of the mezu command: one bubbletea model, which owns the screens.
//
// What lives here: the model, its first, second and last lines, what lies over the screens, and
// how the terminal is taken and given back. What may not: I/O in an update, a client of the
// control plane, or anything of cli, daemon and edgesvc; screens speak to these through
// interfaces that cmd/mezu fills. Only cmd/mezu imports it.
package tui

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

const (
	// framesPerSecond bounds how often the terminal is drawn: more than an eye needs, and
	// what a slow line can take.
	framesPerSecond = 30
	// lastCommands is how long commands that are under way get when the dashboard ends.
	// Their context has ended by then.
	lastCommands = time.Second
)

// Desktop is what the dashboard asks of the machine that it runs on.
type Desktop interface {
	// Copy puts text on the system's clipboard. An error means that there is none that this
	// process reaches, and the terminal is asked instead.
	Copy(ctx context.Context, text string) error
	// Browse opens an address.
	Browse(ctx context.Context, url string) error
	// Edit gives the program that edits a file, and its arguments.
	Edit(file string) (program string, args []string, err error)
}

// Config is what a dashboard is made of.
type Config struct {
	// Screens are shown by the keys 1 to 9 in this order, First before anything is pressed.
	Screens []screen.Screen
	First   int
	// Parts are no screens.
	Parts   []screen.Part
	Scope   screen.Scope
	Theme   *look.Theme
	Desktop Desktop
	// In and Out are the terminal.
	In, Out *os.File
	// NoMouse leaves the mouse to the terminal.
	NoMouse bool
	// Multiplexer is how the terminal is reached: "", "tmux" or "screen", through which what
	// is copied has to be passed.
	Multiplexer string
	// Remote says that the terminal is another machine's, so that its clipboard is, too.
	Remote bool
	// Version is shown in the help.
	Version string
	// Now is the clock of what is shown; if nil, time.Now.
	Now func() time.Time
}

// Run shows the dashboard until somebody quits or ctx ends. The terminal is as it was then,
// after a panic too, whose error Run returns.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	life, end := context.WithCancel(ctx)
	defer end()
	out := &output{File: cfg.Out}
	m := newModel(life, cfg, out)
	options := []tea.ProgramOption{tea.WithInput(cfg.In), tea.WithOutput(out), tea.WithAltScreen(), tea.WithFPS(framesPerSecond), tea.WithoutSignalHandler()}
	if !cfg.NoMouse {
		options = append(options, tea.WithMouseCellMotion())
	}
	broken := make(chan error, 1)
	var p *tea.Program
	// A panic is none of bubbletea's: it would not wait for the goroutine that reads keys.
	m.commands.failed = func(cause any) {
		select {
		case broken <- fmt.Errorf("panic: %v\n%s", cause, debug.Stack()):
		default:
		}
		go p.Quit() // it returns when the dashboard has ended
	}
	p = tea.NewProgram(&paced{model: m}, options...)
	defer context.AfterFunc(ctx, p.Quit)()
	var running sync.WaitGroup
	for _, source := range sources(cfg) {
		running.Go(func() {
			defer func() {
				if cause := recover(); cause != nil {
					m.commands.failed(cause)
				}
			}()
			source(life, p.Send)
		})
	}
	_, err := p.Run()
	end()
	running.Wait()
	m.commands.wait(lastCommands)
	out.finish()
	select {
	case cause := <-broken:
		return cause
	default:
	}
	if errors.Is(err, tea.ErrProgramPanic) {
		return fmt.Errorf("the dashboard failed: %w", err)
	}
	if ctx.Err() != nil {
		return nil // it was asked to end
	}
	return err
}

// sources are those of all parts, and the clock.
func sources(cfg Config) []screen.Source {
	all := []screen.Source{seconds}
	for _, p := range parts(cfg) {
		if watching, ok := p.(screen.Watching); ok {
			all = append(all, watching.Watch()...)
		}
	}
	return all
}

// parts are the screens and what is none.
func parts(cfg Config) []screen.Part {
	var all []screen.Part
	for _, s := range cfg.Screens {
		all = append(all, s)
	}
	return append(all, cfg.Parts...)
}

// seconds tells of each second.
func seconds(ctx context.Context, send func(tea.Msg)) {
	each := time.NewTicker(time.Second)
	defer each.Stop()
	for {
		select {
		case <-each.C:
			send(screen.Second{})
		case <-ctx.Done():
			return
		}
	}
}

// paced is the model on a terminal that may be slow: nothing is drawn while one still takes what
// was.
type paced struct {
	*model
	last string
}

// Update takes a message.
func (p *paced) Update(msg tea.Msg) (is tea.Model, cmd tea.Cmd) {
	defer func() {
		if cause := recover(); cause != nil {
			p.commands.failed(cause)
			is = p
		}
	}()
	_, cmd = p.model.Update(msg)
	return p, cmd
}

// View is the last frame again while the terminal still takes it.
func (p *paced) View() (frame string) {
	defer func() {
		if cause := recover(); cause != nil {
			p.commands.failed(cause)
			frame = p.last
		}
	}()
	if p.last == "" || !p.out.busy() {
		p.last = p.model.View()
	}
	return p.last
}

// commands are those under way.
type commands struct {
	mu      sync.Mutex
	running int
	idle    chan struct{} // closed when none runs, made by who waits
	// failed is told of a panic, behind which the dashboard ends; nil lets it pass.
	failed func(cause any)
}

// count has a command, and those that it gives, counted while they run.
func (c *commands) count(cmd tea.Cmd) tea.Cmd {
	if cmd == nil {
		return nil
	}
	return func() (msg tea.Msg) {
		c.add(1)
		defer c.add(-1)
		defer func() {
			if c.failed == nil {
				return
			}
			if cause := recover(); cause != nil {
				c.failed(cause)
			}
		}()
		msg = cmd()
		if batch, ok := msg.(tea.BatchMsg); ok {
			for i := range batch {
				batch[i] = c.count(batch[i])
			}
		}
		return msg
	}
}

func (c *commands) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running += n; c.running == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// wait waits until none runs, but not for longer than that.
func (c *commands) wait(most time.Duration) {
	c.mu.Lock()
	if c.running == 0 {
		c.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	c.idle = idle
	c.mu.Unlock()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	}
}
