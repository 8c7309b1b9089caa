package routes

import (
	"context"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu/tui/field"
	"github.com/mezusphere/mezu/tui/list"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// input is the field of the try in which somebody types.
type input uint8

const (
	onNothing input = iota
	onTarget
	onUser
)

// judgeTime bounds one try. Most of it is the look for a user.
const judgeTime = 10 * time.Second

// try is a request that somebody types, and what the routes make of it.
type try struct {
	method       int // index of tried
	target, user *field.Field
	at           input

	asked   int // counts questions; the answer to an older one is none
	verdict *Verdict
	err     error
}

// tried are the methods that M goes through.
func tried() []string { return []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"} }

func newTry() try {
	t := try{target: field.New(maxTyped), user: field.New(maxTyped)}
	t.target.Set("/")
	return t
}

func (t *try) nextMethod() { t.method = (t.method + 1) % len(tried()) }

// key takes a key, and reports whether the request is another one, and whether somebody types no
// more.
func (t *try) key(k tea.KeyMsg) (other, end bool) {
	now := t.target
	if t.at == onUser {
		now = t.user
	}
	switch k.Type {
	case tea.KeyEsc, tea.KeyEnter:
		t.at = onNothing
		return false, true
	case tea.KeyTab, tea.KeyShiftTab:
		t.at = onTarget + onUser - t.at
		return false, false
	}
	return now.Key(k), false
}

// judged is the verdict on a request.
type judged struct {
	asked   int
	verdict Verdict
	err     error
}

// judge asks what the routes make of the request.
func (s *Screen) judge(c *screen.Context) tea.Cmd {
	target := strings.TrimSpace(s.try.target.Value())
	if target == "" || s.Scope.Environment == "" {
		return nil
	}
	s.try.asked++
	q := Question{Method: tried()[s.try.method], Target: target, User: strings.TrimSpace(s.try.user.Value())}
	asked, scope, judge := s.try.asked, s.Scope, s.cfg.Judge
	return c.Within(judgeTime, func(ctx context.Context) tea.Msg {
		v, err := judge.Judge(ctx, scope, q)
		return judged{asked, v, err}
	})
}

// forget leaves out what was said of routes elsewhere, and what is on its way of them.
func (t *try) forget() {
	t.asked++
	t.verdict, t.err = nil, nil
}

func (t *try) take(j judged) {
	if j.asked != t.asked {
		return
	}
	if t.err = j.err; j.err == nil {
		t.verdict = &j.verdict
	}
}

// lines are what the panel of the try shows.
func (t *try) lines(th *look.Theme, w int) []string {
	userWidth := min(26, w/3)
	as := "  as  " + t.user.View(th, userWidth, t.at == onUser)
	if t.at != onUser && t.user.Value() == "" {
		as = "  as  " + th.Fit("nobody", userWidth)
	}
	method := th.Fit(tried()[t.method], 7)
	room := w - look.Width(method) - look.Width(as)
	out := []string{method + t.target.View(th, room, t.at == onTarget) + as}
	switch v := t.verdict; {
	case t.err != nil:
		return append(out, list.Trouble(th, t.err, w)...)
	case v == nil:
		return append(out, th.Paint(look.Quiet, "t types a request; the routes judge it as you type"))
	default:
		sign, tone := th.Up, look.Good
		if !v.Allowed {
			sign, tone = th.Down, look.Bad
		}
		says := th.Horizontal + " " + sign + " " + look.Text(v.Says) + " "
		out = append(out, th.Paint(tone, th.Cut(says, w))+th.Paint(look.Quiet, strings.Repeat(th.Horizontal, max(0, w-look.Width(says)))))
		for _, l := range v.Lines {
			const subject = 20
			out = append(out, th.Fit(look.Text(l.Subject), subject)+look.Text(l.Result))
		}
	}
	return append(out, th.Paint(look.Quiet, "judged here by the code and the routes that edge and Warpgate run; not sent"))
}
