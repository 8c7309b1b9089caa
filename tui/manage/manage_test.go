package manage_test

import (
	"context"
	"testing"

	tea "github.com/charmbracelet/bubbletea"
	"go.uber.org/goleak"

	"github.com/mezusphere/mezu/tui/follow"
	"github.com/mezusphere/mezu/tui/manage"
	"github.com/mezusphere/mezu/tui/screen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plane notes what it was asked for, and where.
type plane struct{ did string }

func (p *plane) Follow(ctx context.Context, _ screen.Scope, _ func(manage.State)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (p *plane) Make(_ context.Context, at screen.Scope, kind manage.Kind, v map[string]string) (string, error) {
	p.did = "make " + string(kind) + " " + v["name"] + " of " + at.Project
	return "secret", nil
}

func (p *plane) Remove(_ context.Context, at screen.Scope, kind manage.Kind, name string) error {
	p.did = "remove " + string(kind) + " " + name + " of " + at.Project
	return nil
}

func (p *plane) Enable(_ context.Context, at screen.Scope, name string, _ bool) error {
	p.did = "enable " + name + " of " + at.Project
	return nil
}

func (p *plane) Rotate(_ context.Context, at screen.Scope, name string) (string, error) {
	p.did = "rotate " + name + " of " + at.Project
	return "secret", nil
}

func (p *plane) Use(_ context.Context, at screen.Scope) error {
	p.did = "use " + at.Project
	return nil
}

// stage is the part with what there is in the project shop.
func stage(t *testing.T) (*manage.Part, *plane, *screen.Context) {
	p := &plane{}
	part, c := manage.New(manage.Config{Records: p, Switches: p}), &screen.Context{Life: t.Context()}
	at := screen.Scope{Organization: "acme", Project: "shop", Environment: "dev-ada"}
	part.Take(c, screen.Moved{Scope: at})
	part.Take(c, follow.Got[manage.State]{Scope: at, Value: manage.State{Projects: []string{"shop", "site"}, Accounts: []string{"ci"},
		Environments: []manage.Environment{{Name: "dev-ada", Enabled: true}, {Name: "off"}, {Name: "staging", Enabled: true}}}})
	return part, p, c
}

// offered is what a line of the palette does.
func offered(t *testing.T, part *manage.Part, c *screen.Context, text string) any {
	t.Helper()
	for _, o := range part.Offers(c) {
		if o.Text == text {
			return o.Do()
		}
	}
	t.Fatalf("%q is not offered", text)
	return nil
}

// TestStaysWhereItWasAsked: what was asked for in one project is not done in another, when the
// dashboard has moved meanwhile.
func TestStaysWhereItWasAsked(t *testing.T) {
	for text, did := range map[string]string{
		"Remove environment staging":     "remove environment staging of shop",
		"Remove service account ci":      "remove service account ci of shop",
		"New key for service account ci": "rotate ci of shop",
		"Switch off environment staging": "enable staging of shop",
	} {
		part, p, c := stage(t)
		ask, ok := offered(t, part, c, text).(screen.Ask)
		if !ok {
			t.Errorf("%s does not ask", text)
			continue
		}
		part.Take(c, screen.Moved{Scope: screen.Scope{Organization: "acme", Project: "site"}})
		if ask.Then(); p.did != did {
			t.Errorf("%s: %s, not %s", text, p.did, did)
		}
	}
}

// TestKeyIsSeen: a form stays while what it asked for is under way, for a key is shown once.
func TestKeyIsSeen(t *testing.T) {
	part, p, c := stage(t)
	open, ok := offered(t, part, c, "New service account of shop").(screen.Open)
	if !ok {
		t.Fatal("no form is opened")
	}
	open.Overlay.Key(c, tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("gate")})
	making := open.Overlay.Key(c, tea.KeyMsg{Type: tea.KeyEnter})
	if said, ok := open.Overlay.Key(c, tea.KeyMsg{Type: tea.KeyEsc})().(screen.Say); !ok {
		t.Errorf("esc gives %v while the account is made", said)
	}
	if open.Overlay.Take(c, making()) == nil || p.did != "make service account gate of shop" {
		t.Errorf("nothing comes of it: %s", p.did)
	}
}
